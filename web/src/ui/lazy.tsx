/** A part of the page that is fetched when it is first shown. */
import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";

import { Failed, Loading } from "./notices";

/** Shows what `load` gives, with `props`. `load` must be the same function at each call. */
export function Lazy<P extends object>({ load, props }: { load: () => Promise<ComponentType<P>>; props: P }) {
  const [Part, setPart] = useState<ComponentType<P> | null>(null);
  const [error, setError] = useState<unknown>(null);
  useEffect(() => {
    load().then((found) => setPart(() => found), setError);
  }, [load]);
  if (error) return <Failed error={new Error("This part of the page could not be loaded. Reload the page.")} />;
  return Part ? <Part {...props} /> : <Loading what="Loading" />;
}
