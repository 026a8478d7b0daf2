/** Asks for an API key when the server wants one. It stays in this browser tab until that is closed. */
import { useState } from "preact/hooks";

import { apiKey } from "../client/http";
import { dismissKeyPrompt, giveKey, useKeyWanted } from "../client/key_prompt_state";
import { Dialog } from "../ui/dialog";

export function KeyPrompt() {
  const why = useKeyWanted();
  const [key, setKey] = useState("");
  if (why === null) return null;
  const send = (event: Event) => {
    event.preventDefault();
    if (key.trim()) giveKey(key.trim());
    setKey("");
  };
  return (
    <Dialog title="API key" close={dismissKeyPrompt}>
      <form class="dialog-body" onSubmit={send}>
        <p>{apiKey() === null ? "This server answers only with a key." : "The server does not accept this key."}</p>
        <p class="small soft">{why}</p>
        <label class="field">
          <span>Key</span>
          <input
            class="input mono"
            type="password"
            autocomplete="off"
            spellcheck={false}
            value={key}
            onInput={(event) => setKey(event.currentTarget.value)}
          />
        </label>
        <p class="small soft">Kept in this browser tab until it is closed, and sent to this server only.</p>
        <div class="dialog-actions">
          <button type="button" class="button" onClick={dismissKeyPrompt}>
            Cancel
          </button>
          <button type="submit" class="button button-main" disabled={!key.trim()}>
            Use this key
          </button>
        </div>
      </form>
    </Dialog>
  );
}
