/** Keys that work everywhere on the page, but not while something is typed. */
import { useEffect, useRef } from "preact/hooks";

/** What each key does, in the order in which they are listed. */
export const KEYS: readonly (readonly [readonly string[], string])[] = [
  [["/"], "to the query, on Search and Ask"],
  [["↓", "↑"], "through the results"],
  [["Enter"], "open the document at the passage"],
  [["Esc"], "close the document; back to the query"],
  [["w"], "why these results: each stage's score"],
  [["1", "6"], "the tabs, from left to right; on Judge, digits are grades"],
  [["s"], "on Judge: it cannot be told"],
  [["u"], "on Judge: take the last judgment back"],
  [["?"], "this list"],
];

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || target.matches("textarea, select, input:not([type=radio], [type=checkbox])"))
  );
}

/** Call `act` with the key of each press that is meant for the page. It says whether it did something. */
export function useShortcuts(act: (key: string, typing: boolean) => boolean): void {
  const latest = useRef(act);
  latest.current = act;
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
      if (document.querySelector("dialog[open]")) return;
      if (latest.current(event.key, isTyping(event.target))) event.preventDefault();
    };
    document.addEventListener("keydown", press);
    return () => document.removeEventListener("keydown", press);
  }, []);
}

/** Put the focus into the query of the present tab, all of it selected. False where it has none. */
export function focusQuery(): boolean {
  const query = document.querySelector<HTMLInputElement | HTMLTextAreaElement>("[data-query]");
  query?.focus();
  query?.select();
  return query !== null;
}
