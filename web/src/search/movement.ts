/** What moved between the results of two versions. */
import type { Hit } from "../client/types";

/** How a result moved: its place in the other list, null where it is not there. */
export interface Movement {
  /** For each result on the left, the index of the same on the right. */
  toRight: (number | null)[];
  /** For each result on the right, the index of the same on the left. */
  toLeft: (number | null)[];
  same: number;
  moved: number;
  fresh: number;
  gone: number;
}

/**
 * Which results are the same: of one document, and the passages cover each other at least by half, since versions
 * may cut documents differently. `byDocument`: the document alone decides.
 */
export function movement(left: readonly Hit[], right: readonly Hit[], byDocument: boolean): Movement {
  const toRight: (number | null)[] = left.map(() => null);
  const toLeft = right.map((hit, at) => {
    let best = byDocument ? 0 : 0.5;
    let found: number | null = null;
    left.forEach((other, i) => {
      const cover = other.document === hit.document ? (byDocument ? 1 : overlap(other, hit)) : 0;
      if (toRight[i] === null && cover > best) {
        best = cover;
        found = i;
      }
    });
    if (found !== null) toRight[found] = at;
    return found;
  });
  const pairs = toLeft.flatMap((at, i) => (at === null ? [] : [[at, i] as const]));
  const same = pairs.filter(([a, b]) => a === b).length;
  return {
    toRight,
    toLeft,
    same,
    moved: pairs.length - same,
    fresh: right.length - pairs.length,
    gone: left.length - pairs.length,
  };
}

/** The common part of two passages, as a share of the shorter one. */
function overlap(a: Hit, b: Hit): number {
  const common = Math.min(a.end, b.end) - Math.max(a.start, b.start);
  return common / Math.max(1, Math.min(a.end - a.start, b.end - b.start));
}
