/** Whether a result is right or wrong, as a user says. */
import { useState } from "preact/hooks";

const NAMES = { up: "right", down: "wrong" } as const;

export function Thumbs({ of, say }: { of: string; say: (kind: "up" | "down") => void }) {
  const [said, setSaid] = useState<"up" | "down" | null>(null);
  const choose = (kind: "up" | "down") => {
    if (kind === said) return;
    setSaid(kind);
    say(kind);
  };
  return (
    <>
      {(["up", "down"] as const).map((kind) => (
        <button
          key={kind}
          type="button"
          class="link-button"
          aria-pressed={said === kind}
          title={`This result is ${NAMES[kind]}`}
          onClick={() => choose(kind)}
        >
          <span aria-hidden="true">{kind === "up" ? "\u{1F44D}\u{FE0E}" : "\u{1F44E}\u{FE0E}"}</span>
          <span class="hidden-text">
            {NAMES[kind]}: {of}
          </span>
        </button>
      ))}
    </>
  );
}
