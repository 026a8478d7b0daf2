/** The Judge tab: passages to grade by one key each, and what the grades show so far. */
import { useEffect, useRef, useState } from "preact/hooks";

import { getJudging, judgePassage, undoJudgment } from "../client/api";
import { useFetched } from "../client/fetched";
import type { JudgingReport, JudgingState } from "../client/types";
import { useShortcuts } from "../shell/shortcuts";
import type { TabProps } from "../tabs";
import { count, counted } from "../ui/format";
import { Empty, Failed, Loading } from "../ui/notices";
import { annotatorName, keepAnnotatorName } from "./annotator";
import { BeginForm } from "./begin_form";
import { gradeNames } from "./grades";
import { Task } from "./task";
import { Verdicts } from "./verdicts";

export function JudgeTab({ collection, open }: TabProps) {
  const [annotator, setAnnotator] = useState(annotatorName);
  const found = useFetched(`judging ${collection} ${annotator}`, (signal) => getJudging(collection, annotator, signal));
  const [answered, setAnswered] = useState<JudgingState | null>(null);
  useEffect(() => setAnswered(null), [found.data]);
  const call = (name: string) => {
    keepAnnotatorName(name);
    setAnnotator(name);
  };
  const state = answered ?? found.data;
  return (
    <>
      <div class="page-head">
        <h1>Judging {collection}</h1>
        {state && <Annotator name={state.annotator} call={call} />}
      </div>
      {found.error ? (
        <Failed error={found.error} retry={found.reload} />
      ) : state ? (
        <Session collection={collection} state={state} show={setAnswered} reload={found.reload} open={open} />
      ) : found.loading ? (
        <Loading what="Looking for the passage to judge" />
      ) : (
        <BeginForm collection={collection} annotator={annotator} call={call} show={setAnswered} />
      )}
    </>
  );
}

function Annotator({ name, call }: { name: string; call: (name: string) => void }) {
  return (
    <label class="judge-annotator small">
      <span class="soft">Judging as</span>
      <input
        class="input"
        value={name}
        maxLength={64}
        onChange={(event) => {
          const typed = event.currentTarget.value.trim();
          if (typed) call(typed);
          else event.currentTarget.value = name;
        }}
      />
    </label>
  );
}

interface SessionProps {
  collection: string;
  state: JudgingState;
  show: (state: JudgingState) => void;
  reload: () => void;
  open: TabProps["open"];
}

function Session({ collection, state, show, reload, open }: SessionProps) {
  const { task, report, annotator } = state;
  const [message, setMessage] = useState("");
  const [failed, setFailed] = useState<unknown>(null);
  const isSending = useRef(false);
  const send = async (ask: () => Promise<JudgingState>, done: string) => {
    if (isSending.current) return;
    isSending.current = true;
    setFailed(null);
    try {
      show(await ask());
      setMessage(done);
    } catch (error) {
      setFailed(error);
    } finally {
      isSending.current = false;
    }
  };
  const grade = (value: number | null) => {
    if (!task) return;
    const name = value === null ? "cannot be told" : gradeNames(task.grades)[value];
    void send(() => judgePassage(collection, { task: task.id, grade: value, annotator }), `Judged: ${name}.`);
  };
  const undo = () => void send(() => undoJudgment(collection, annotator), "The last judgment is taken back.");
  useShortcuts((key, typing) => {
    if (typing) return false;
    if (key === "u") undo();
    else if (task && key === "s") grade(null);
    else if (task?.grades === 1 && (key === "y" || key === "n")) grade(Number(key === "y"));
    else if (task && /^[0-9]$/.test(key) && Number(key) <= task.grades) grade(Number(key));
    else return false;
    return true;
  });
  const canUndo = (report.annotators[annotator] ?? 0) > 0 || report.skipped > 0;
  return (
    <div class="judge">
      <p class="hidden-text" role="status">
        {message} {task ? `${counted(report.judged, "passage")} judged. Next query: ${task.query}` : ""}
      </p>
      {failed !== null && (
        <Failed
          error={failed}
          retry={() => {
            setFailed(null);
            reload();
          }}
        />
      )}
      {task ? (
        <Task key={task.id} task={task} grade={grade} undo={canUndo ? undo : null} open={open} isFirst={message === ""} />
      ) : (
        <Over collection={collection} state={state} undo={canUndo ? undo : null} />
      )}
      <aside class="judge-side" aria-label="What the judgments show so far">
        <Progress report={report} />
        <Verdicts report={report} />
      </aside>
    </div>
  );
}

function Progress({ report }: { report: JudgingReport }) {
  const { judged, needed, pool } = report;
  const end = needed === null ? pool : Math.min(pool, judged + needed);
  const left = needed === null ? "" : needed === 0 ? ", none needed" : `, about ${count(needed)} more needed`;
  return (
    <section class="progress">
      <h2>Progress</h2>
      <div
        class="bar"
        role="progressbar"
        aria-label="Judgments of those that the verdict takes"
        aria-valuemin={0}
        aria-valuemax={end}
        aria-valuenow={judged}
      >
        <span style={{ width: `${(100 * judged) / Math.max(1, end)}%` }} />
      </div>
      <p class="soft">
        {count(judged)} judged{left}; {counted(pool, "passage")} in all.
      </p>
    </section>
  );
}

function Over({ collection, state, undo }: { collection: string; state: JudgingState; undo: (() => void) | null }) {
  return (
    <Empty title={state.report.decided ? "The verdict is reached" : "All passages are judged"}>
      <p>
        {state.report.decided
          ? "No more judgments are needed. What they show stands beside."
          : "What they can show stands beside."}
      </p>
      <p>
        Improve the search by them: <code>gnomon judge {collection} --status --export judged</code>, then{" "}
        <code>gnomon adapt {collection} --judgments judged</code>
      </p>
      {undo && (
        <p>
          <button type="button" class="button" onClick={undo}>
            Take the last one back <kbd>u</kbd>
          </button>
        </p>
      )}
    </Empty>
  );
}
