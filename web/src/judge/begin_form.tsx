/** No session yet: the queries to judge for, and who judges. */
import { useState } from "preact/hooks";

import { beginJudging } from "../client/api";
import type { JudgingState } from "../client/types";
import { counted } from "../ui/format";
import { Failed, Loading } from "../ui/notices";
import { Segmented } from "../ui/segmented";

interface BeginProps {
  collection: string;
  annotator: string;
  call: (name: string) => void;
  show: (state: JudgingState) => void;
}

export function BeginForm({ collection, annotator, call, show }: BeginProps) {
  const [typed, setTyped] = useState("");
  const [name, setName] = useState(annotator);
  const [grades, setGrades] = useState("2");
  const [isSending, setSending] = useState(false);
  const [failed, setFailed] = useState<unknown>(null);
  const queries = [...new Set(typed.split("\n").map((line) => line.trim()))].filter(Boolean);
  const begin = async () => {
    setSending(true);
    setFailed(null);
    try {
      const by = name.trim() || annotator;
      show(await beginJudging(collection, { queries, annotator: by, grades: Number(grades) }));
      call(by);
    } catch (error) {
      setFailed(error);
      setSending(false);
    }
  };
  return (
    <form
      class="judge-begin"
      onSubmit={(event) => {
        event.preventDefault();
        if (queries.length > 0 && !isSending) void begin();
      }}
    >
      <p class="soft">
        Which search is the better one for your users? The live version is compared with its other modes and with the
        versions that are ready. You are asked for those passages only on which they disagree, and no longer than it takes
        to tell.
      </p>
      <label class="field">
        <span>What users ask, one query a line</span>
        <textarea
          class="input"
          data-query
          rows={8}
          value={typed}
          placeholder={"how do I rotate the keys?\nwhere is the log kept?"}
          onInput={(event) => setTyped(event.currentTarget.value)}
        />
      </label>
      <label class="field judge-name">
        <span>Your name</span>
        <input class="input" value={name} maxLength={64} onInput={(event) => setName(event.currentTarget.value)} />
      </label>
      <Segmented
        label="Grades"
        choices={[
          { value: "1", name: "relevant or not" },
          { value: "2", name: "three grades", title: "Not relevant, somewhat, relevant" },
        ]}
        value={grades}
        choose={setGrades}
      />
      <p>
        <button type="submit" class="button button-main" disabled={queries.length === 0 || isSending}>
          Begin{queries.length > 0 && ` with ${counted(queries.length, "query", "queries")}`}
        </button>
      </p>
      {isSending && <Loading what="Searching all queries in each way" />}
      {failed !== null && <Failed error={failed} />}
    </form>
  );
}
