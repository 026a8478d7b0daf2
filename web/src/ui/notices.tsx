/** What is shown in the place of results: that they are being fetched, that there are none, or what went wrong. */
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";

import { RequestFailed } from "../client/http";

/** Something is being fetched. Shown after a moment only (by CSS), so that quick answers do not flicker. */
export function Loading({ what }: { what: string }) {
  return (
    <p class="loading" role="status">
      <span class="spinner" aria-hidden="true" />
      {what}…
    </p>
  );
}

/** Nothing to show, and what to do about it. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

/** Counts down, then calls `end`. */
function Countdown({ seconds, end }: { seconds: number; end: () => void }) {
  const [left, setLeft] = useState(Math.max(1, Math.ceil(seconds)));
  useEffect(() => {
    const timer = setTimeout(() => (left > 1 ? setLeft(left - 1) : end()), 1000);
    return () => clearTimeout(timer);
  }, [left]);
  return <p class="hint">Trying again in {left} s.</p>;
}

/** What went wrong, in the server's own words, and a way to try again. */
export function Failed({ error, retry }: { error: unknown; retry?: () => void }) {
  const failed = error instanceof RequestFailed ? error : null;
  const message = error instanceof Error ? error.message : String(error);
  return (
    <div class="failed" role="alert">
      <p class={message.includes("\n") ? "failed-message is-drawn" : "failed-message"}>{message}</p>
      {failed?.expected && <p>Expected: {failed.expected.replace(/\.$/, "")}.</p>}
      {failed?.hint && <p class="hint">{failed.hint}</p>}
      {failed?.retryAfter != null && retry && <Countdown key={message} seconds={failed.retryAfter} end={retry} />}
      {retry && (
        <button type="button" class="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}
