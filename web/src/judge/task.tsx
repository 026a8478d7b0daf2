/** One passage to judge: the query, the text with the query's words marked, a button and a key for each grade. */
import { useEffect, useRef } from "preact/hooks";

import type { PassageToJudge } from "../client/types";
import type { TabProps } from "../tabs";
import { Marked } from "../ui/spans";
import { gradeNames } from "./grades";

interface TaskProps {
  task: PassageToJudge;
  grade: (value: number | null) => void;
  undo: (() => void) | null;
  open: TabProps["open"];
  /** Whether it is the first since the tab was opened: the focus is then left where it is. */
  isFirst: boolean;
}

export function Task({ task, grade, undo, open, isFirst }: TaskProps) {
  const query = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (!isFirst) query.current?.focus({ preventScroll: true });
  }, []);
  const hasTitle = task.title !== "" && task.title !== task.document;
  return (
    <article class="card judge-task" aria-label="Passage to judge">
      <header>
        <p class="label">Does the passage answer this?</p>
        <h2 ref={query} tabIndex={-1}>
          {task.query}
        </h2>
      </header>
      <div class="judge-passage" tabIndex={0} role="region" aria-label="The passage">
        <p class="judge-title">
          {hasTitle && <strong>{task.title} </strong>}
          <button type="button" class="link-button small" data-opens={task.document} onClick={() => open({ document: task.document })}>
            {task.document}
          </button>
        </p>
        <p class="judge-text">
          <Marked text={task.text} spans={task.highlights} />
        </p>
      </div>
      <div class="judge-grades" role="group" aria-label="Grade">
        {gradeNames(task.grades).map((name, value) => (
          <button key={value} type="button" class="button" aria-keyshortcuts={String(value)} onClick={() => grade(value)}>
            <kbd aria-hidden="true">{value}</kbd> {name}
          </button>
        ))}
        <button type="button" class="button button-plain" aria-keyshortcuts="s" onClick={() => grade(null)}>
          <kbd aria-hidden="true">s</kbd> cannot tell
        </button>
        <button type="button" class="button button-plain judge-undo" aria-keyshortcuts="u" disabled={!undo} onClick={() => undo?.()}>
          <kbd aria-hidden="true">u</kbd> undo
        </button>
      </div>
    </article>
  );
}
