/** Titles and first words of points, fetched when they are first shown and kept. */
import { useEffect, useMemo, useState } from "preact/hooks";

import { getTexts, type PointText } from "./map_api";

/** Points asked for at once. */
const BLOCK = 200;
const RESTING_MS = 60;

/** The texts known so far of these ids; the others are fetched, once the ids have stayed the same for a moment. */
export function useTexts(collection: string, ids: readonly number[]): ReadonlyMap<number, PointText> {
  const known = useMemo(() => new Map<number, PointText>(), [collection]);
  const [, setTurn] = useState(0);
  const key = ids.join(",");
  useEffect(() => {
    const missing = ids.filter((id) => !known.has(id)).slice(0, BLOCK);
    if (missing.length === 0) return undefined;
    const stop = new AbortController();
    const timer = setTimeout(() => {
      getTexts(collection, missing, stop.signal).then(
        (texts) => {
          for (const text of texts) known.set(text.id, text);
          setTurn((turn) => turn + 1);
        },
        () => undefined, // shown without its text; asked for again when it is shown again
      );
    }, RESTING_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [known, key]);
  return known;
}
