/** The page's state in its address, so that it can be shared and the back button works. */
import { useEffect, useState } from "preact/hooks";

/** What the address says, by name: "tab", "c" (the collection), "q" (the query) and those of each tab. */
export type Address = Readonly<Record<string, string>>;

/** New values; an empty one or null takes the name out of the address. */
export type Change = Readonly<Record<string, string | null>>;

const listeners = new Set<(address: Address) => void>();

/** What the browser's address says now. */
export function readAddress(): Address {
  return Object.fromEntries(new URLSearchParams(location.search));
}

/** The address with a change made. */
export function hrefOf(change: Change, from: Address = readAddress()): string {
  const kept = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...from, ...change })) if (value) kept.set(name, value);
  const query = kept.toString();
  return query ? `?${query}` : location.pathname;
}

/** Go to the address with a change made. `replace`: the back button does not come back to the present one. */
export function go(change: Change, { replace = false } = {}): void {
  const href = hrefOf(change);
  if (href === location.search || (href === location.pathname && !location.search)) return;
  if (replace) history.replaceState(null, "", href);
  else history.pushState(null, "", href);
  announce();
}

function announce(): void {
  const address = readAddress();
  for (const listener of listeners) listener(address);
}

/** The address, followed. */
export function useAddress(): Address {
  const [address, setAddress] = useState(readAddress);
  useEffect(() => {
    listeners.add(setAddress);
    return () => void listeners.delete(setAddress);
  }, []);
  return address;
}

addEventListener("popstate", announce);
