/** The Ask tab: questions, with answers that rest on cited passages. */
import { useEffect, useRef, useState } from "preact/hooks";

import { go, readAddress, useAddress } from "../address";
import { streamAnswer } from "../client/api";
import { isAbort, RequestFailed } from "../client/http";
import { useKeyGiven } from "../client/key_prompt_state";
import type { TabProps } from "../tabs";
import { Empty } from "../ui/notices";
import { afterEvent, newTurn, type Turn } from "./answer_stream";
import { AnswerView } from "./answer_view";

const NO_TURNS: readonly Turn[] = [];
const MOST_TURNS = 50;

export function AskTab({ collection, open }: TabProps) {
  const { q = "" } = useAddress();
  const [typed, setTyped] = useState("");
  const [turns, setTurns] = useState(NO_TURNS);
  const running = useRef<AbortController | null>(null);
  const keyGiven = useKeyGiven();
  const isRunning = turns.at(-1)?.running ?? false;

  const ask = async (question: string, before: readonly Turn[]) => {
    running.current?.abort();
    const controller = new AbortController();
    running.current = controller;
    let turn = newTurn(question);
    const show = () => setTurns([...before, turn]);
    show();
    const history = before
      .flatMap(({ question: asked, answer }) => (answer?.text ? [{ question: asked, answer: answer.text }] : []))
      .slice(-MOST_TURNS);
    try {
      for await (const { event, data } of streamAnswer(collection, question, history, controller.signal)) {
        if (event === "error") throw errorOf(data);
        turn = afterEvent(turn, event, JSON.parse(data));
        show();
      }
      if (turn.running) throw new RequestFailed("The answer was cut off.", 0, "", "Ask again.");
    } catch (error) {
      turn = { ...turn, running: false, error: isAbort(error) ? null : error };
      if (running.current === controller) show();
    }
  };

  // A question in the address is asked: when the tab opens, and by the back button.
  useEffect(() => {
    if (q && q !== turns.at(-1)?.question) {
      setTyped("");
      void ask(q, turns.some(({ question }) => question === q) ? NO_TURNS : turns);
    }
  }, [q]);
  useEffect(() => {
    const last = turns.at(-1);
    if (last?.error) void ask(last.question, turns.slice(0, -1));
  }, [keyGiven]);
  useEffect(() => () => running.current?.abort(), []);

  const submit = () => {
    const question = typed.trim();
    if (!question) return;
    setTyped("");
    if (question === q) void ask(question, turns.slice(0, -1));
    else go({ q: question, doc: null, at: null });
  };
  return (
    <div class="ask">
      <h1 class="hidden-text">Ask {collection}</h1>
      <Question
        typed={typed}
        type={setTyped}
        submit={submit}
        isFirst={turns.length === 0}
        isRunning={isRunning}
        stop={() => running.current?.abort()}
      />
      {turns.length === 0 && (
        <Empty title="Ask the documents">
          <p>
            Every sentence of an answer names the passage that says it. Where the documents do not answer, you are told so.
          </p>
        </Empty>
      )}
      {turns
        .map((turn, i) => (
          <AnswerView key={i} turn={turn} open={open} retry={() => void ask(turn.question, turns.slice(0, i))} />
        ))
        .reverse()}
    </div>
  );
}

function errorOf(data: string): RequestFailed {
  const { error = {} } = JSON.parse(data) as { error?: Record<string, string> };
  return new RequestFailed(error.message ?? "The answer failed.", 0, error.expected ?? "", error.hint ?? "");
}

interface QuestionProps {
  typed: string;
  type: (text: string) => void;
  submit: () => void;
  isFirst: boolean;
  isRunning: boolean;
  stop: () => void;
}

function Question({ typed, type, submit, isFirst, isRunning, stop }: QuestionProps) {
  const own = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    if (!readAddress().doc && matchMedia("(hover: hover)").matches) own.current?.focus();
  }, []);
  return (
    <form
      class="ask-form"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <textarea
        ref={own}
        data-query
        rows={1}
        aria-label="Question"
        placeholder={isFirst ? "Ask a question" : "Ask on: the answer knows what was asked before"}
        maxLength={10000}
        value={typed}
        onInput={(event) => type(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
            event.preventDefault();
            submit();
          }
        }}
      />
      {isRunning ? (
        <button type="button" class="button" onClick={stop}>
          Stop
        </button>
      ) : (
        <button type="submit" class="button button-main" disabled={!typed.trim()}>
          Ask
        </button>
      )}
    </form>
  );
}
