/** Colours of points: one a category, or a ramp for numbers. */

export type Rgb = readonly [number, number, number];

/** The code of points without a value, and the number of codes of a ramp. */
export const NONE = 255;
export const RAMP = 254;

// viridis, by Nathaniel Smith and Stéfan van der Walt (CC0): even in lightness, also for colour-blind readers.
const VIRIDIS: readonly Rgb[] = [
  [68, 1, 84],
  [71, 44, 122],
  [59, 81, 139],
  [44, 113, 142],
  [33, 144, 141],
  [39, 173, 129],
  [92, 200, 99],
  [170, 220, 50],
  [253, 231, 37],
];

/** The colour of a category: hues a golden angle apart, alternating in lightness, so that neighbours in rank differ. */
export function categoryColour(rank: number, dark: boolean): Rgb {
  const lightness = (dark ? [0.78, 0.68, 0.86] : [0.55, 0.66, 0.46])[rank % 3]!;
  return oklch(lightness, rank % 2 === 0 ? 0.15 : 0.11, (250 + rank * 137.508) % 360);
}

/** The colour of a share from 0 to 1 of a ramp; the darkest end is left out on a dark ground, the lightest on a light. */
export function rampColour(share: number, dark: boolean): Rgb {
  const at = (dark ? 0.18 + 0.82 * share : 0.92 * share) * (VIRIDIS.length - 1);
  const low = Math.min(VIRIDIS.length - 2, Math.floor(at));
  const [from, to] = [VIRIDIS[low]!, VIRIDIS[low + 1]!];
  return [0, 1, 2].map((i) => Math.round(from[i]! + (to[i]! - from[i]!) * (at - low))) as unknown as Rgb;
}

export function css([r, g, b]: Rgb): string {
  return `rgb(${r} ${g} ${b})`;
}

/** OKLCH to sRGB (Björn Ottosson, https://bottosson.github.io/posts/oklab/), clipped. */
function oklch(lightness: number, chroma: number, hue: number): Rgb {
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const linear = [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
  const [red, green, blue] = linear.map((value) => {
    const clipped = Math.min(1, Math.max(0, value));
    return Math.round(255 * (clipped <= 0.0031308 ? 12.92 * clipped : 1.055 * clipped ** (1 / 2.4) - 0.055));
  });
  return [red!, green!, blue!];
}
