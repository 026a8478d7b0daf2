/** Whether the server wants an API key, for all parts of the page at once. */
import { useEffect, useState } from "preact/hooks";

import { keepApiKey, onUnauthorized } from "./http";

const listeners = new Set<() => void>();
let wanted: string | null = null;
let given = 0;

function changed(): void {
  for (const listener of listeners) listener();
}

onUnauthorized((why) => {
  wanted = why;
  changed();
});

/** Use a key for all further requests; what failed for want of one is fetched again. */
export function giveKey(key: string): void {
  keepApiKey(key);
  wanted = null;
  given += 1;
  changed();
}

/** Go on without a key. */
export function dismissKeyPrompt(): void {
  wanted = null;
  changed();
}

function useShared<T>(read: () => T): T {
  const [value, setValue] = useState(read);
  useEffect(() => {
    const follow = () => setValue(read);
    follow();
    listeners.add(follow);
    return () => void listeners.delete(follow);
  }, []);
  return value;
}

/** Why a key is wanted, in the server's words; null where none is. */
export function useKeyWanted(): string | null {
  return useShared(() => wanted);
}

/** Rises with each key that was given. */
export function useKeyGiven(): number {
  return useShared(() => given);
}
