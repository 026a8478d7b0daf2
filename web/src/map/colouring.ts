/** What points are coloured by: a code each, what codes mean, and which are shown. */
import type { Cluster, ColourValues, Points } from "./map_api";
import { categoryColour, css, NONE, RAMP, rampColour, type Rgb } from "./palette";

/** A row of the legend. */
export interface Entry {
  code: number;
  name: string;
  count: number;
  colour: string;
}

export interface Colouring {
  codes: Uint8Array;
  /** Rows of categories, the most frequent first; none for numbers. */
  entries: readonly Entry[];
  /** Ends of a ramp of numbers, as texts. */
  range: readonly [string, string] | null;
  colours: readonly Rgb[];
}

const NEUTRAL: Rgb = [128, 128, 128];
const WITHOUT = "(none)";

export function byCluster(points: Points, clusters: readonly Cluster[], dark: boolean): Colouring {
  // By rank in size, so that the largest clusters differ most.
  const colours: Rgb[] = [];
  const entries = clusters.map(({ cluster, size, words }, rank) => {
    const colour = categoryColour(rank, dark);
    colours[cluster] = colour;
    return { code: cluster, name: words.slice(0, 3).join(", ") || `cluster ${cluster + 1}`, count: size, colour: css(colour) };
  });
  return { codes: points.clusters, entries: entries.filter(({ count }) => count > 0), range: null, colours };
}

export function byField({ kind, categories, values }: ColourValues, dark: boolean): Colouring {
  if (kind === "category") {
    const counts = new Uint32Array(256);
    for (const code of values) counts[code]! += 1;
    const colours = categories.map((_, rank) => categoryColour(rank, dark));
    const entries = categories.map((name, code) => ({ code, name, count: counts[code]!, colour: css(colours[code]!) }));
    if (counts[NONE]) entries.push({ code: NONE, name: WITHOUT, count: counts[NONE], colour: css(NEUTRAL) });
    return { codes: values as Uint8Array, entries, range: null, colours };
  }
  const [low, high] = limits(values);
  const codes = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i += 1) {
    const share = high > low ? (values[i]! - low) / (high - low) : 0.5;
    codes[i] = Number.isNaN(values[i]!) ? NONE : Math.round(Math.min(1, Math.max(0, share)) * (RAMP - 1));
  }
  const colours = Array.from({ length: RAMP }, (_, code) => rampColour(code / (RAMP - 1), dark));
  const text = (value: number) => (kind === "date" ? dayOf(value) : String(Number(value.toPrecision(6))));
  return { codes, entries: [], range: low <= high ? [text(low), text(high)] : null, colours };
}

/** The colours as the renderer takes them; hidden codes have none. */
export function paletteOf({ colours }: Colouring, hidden: ReadonlySet<number>): Uint8Array {
  const palette = new Uint8Array(4 * 256);
  for (let code = 0; code < 256; code += 1) {
    palette.set([...(colours[code] ?? NEUTRAL), hidden.has(code) ? 0 : code === NONE ? 90 : 205], 4 * code);
  }
  return palette;
}

/** Where most of the numbers lie: the 1st and the 99th of a hundred, so that single far ones do not take the ramp. */
function limits(values: ArrayLike<number>): [number, number] {
  const known = Float64Array.from(values).filter((value) => !Number.isNaN(value)).sort();
  if (known.length === 0) return [1, 0];
  return [known[Math.floor(0.01 * (known.length - 1))]!, known[Math.ceil(0.99 * (known.length - 1))]!];
}

function dayOf(days: number): string {
  return new Date(days * 86_400_000).toISOString().slice(0, 10);
}

/** The middle of each cluster in the picture: medians of x and of y. */
export function middles({ xy, clusters }: Points): Map<number, readonly [number, number]> {
  const xs = new Map<number, number[]>();
  const ys = new Map<number, number[]>();
  clusters.forEach((cluster, i) => {
    if (!xs.has(cluster)) xs.set(cluster, []);
    if (!ys.has(cluster)) ys.set(cluster, []);
    xs.get(cluster)!.push(xy[2 * i]!);
    ys.get(cluster)!.push(xy[2 * i + 1]!);
  });
  const median = (values: number[]) => Uint16Array.from(values).sort()[values.length >> 1]! / 65_535;
  return new Map([...xs].map(([cluster, found]) => [cluster, [median(found), median(ys.get(cluster)!)]]));
}
