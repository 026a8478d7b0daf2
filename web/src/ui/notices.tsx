/** What is shown in the place of results: that they are being fetched, that there are none, or what went wrong. */
import type { ComponentChildren } from "preact";

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

/** What went wrong, in the server's own words, and a way to try again. */
export function Failed({ error, retry }: { error: unknown; retry?: () => void }) {
  const failed = error instanceof RequestFailed ? error : null;
  const message = error instanceof Error ? error.message : String(error);
  return (
    <div class="failed" role="alert">
      <p class={message.includes("\n") ? "failed-message is-drawn" : "failed-message"}>{message}</p>
      {failed?.expected && <p>Expected: {failed.expected.replace(/\.$/, "")}.</p>}
      {failed?.hint && <p class="hint">{failed.hint}</p>}
      {failed?.retryAfter != null && <p class="hint">The server asks to wait {failed.retryAfter} s.</p>}
      {retry && (
        <button type="button" class="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}
