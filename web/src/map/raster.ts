/** Draws points into pixels, by the processor: 100,000 in a few milliseconds, with or without a graphics card. */
import type { Size, View } from "./view";

/** How opaque points are that do not stand out, of 255, when others do. */
const DIMMED = 48;
/** Pixels beyond which a moving picture is drawn in one pixel a CSS pixel. */
const MANY_PIXELS = 2_000_000;
/** Points up to this many pixels wide are squares: nobody sees the difference. */
const SQUARE = 3;

export class Raster {
  private readonly context: CanvasRenderingContext2D;
  private image: ImageData;
  private pixels: Uint32Array;
  private xy: Uint16Array = new Uint16Array(0);
  private codes: Uint8Array = new Uint8Array(0);
  private chosen: Uint8Array | null = null;
  private palette: Uint8Array = new Uint8Array(4 * 256);

  constructor(private readonly canvas: HTMLCanvasElement) {
    this.context = canvas.getContext("2d", { willReadFrequently: true })!;
    this.image = this.context.createImageData(1, 1);
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  /** New points: x and y of each, uint16: 65,535 is 1 of the picture. */
  setPoints(xy: Uint16Array): void {
    this.xy = xy;
  }

  /** A code a point, and the colour of each code: red, green, blue, alpha; those of alpha 0 are not drawn. */
  setColours(codes: Uint8Array, palette: Uint8Array): void {
    this.codes = codes;
    this.palette = palette;
  }

  /** 1 for the points that stand out; null: none does. */
  setChosen(chosen: Uint8Array | null): void {
    this.chosen = chosen;
  }

  /** Draw. `moving`: more pictures follow at once. */
  draw(view: View, size: Size, deviceRatio: number, moving: boolean): void {
    const isLarge = size.width * size.height * deviceRatio ** 2 > MANY_PIXELS;
    const ratio = moving && isLarge ? 1 : deviceRatio;
    this.resize(Math.round(size.width * ratio), Math.round(size.height * ratio));
    this.pixels.fill(0);
    const wide = Math.round(pointSize(this.xy.length / 2, view.zoom, Math.min(size.width, size.height)) * ratio);
    const spans = spansOf(wide);
    const colours = new Uint32Array(this.palette.buffer.slice(0));
    if (!this.chosen) return this.stamp(view, ratio, spans, colours, null, 0);
    const dimmed = colours.map((colour) => (colour === 0 || colour >>> 24 === 0 ? 0 : ((colour & 0xffffff) | (DIMMED << 24)) >>> 0));
    this.stamp(view, ratio, spans, dimmed, this.chosen, 0);
    return this.stamp(view, ratio, spansOf(wide + 2), colours, this.chosen, 1);
  }

  /** Draw the points whose flag is `flag` (all of them without flags), and show the picture. */
  private stamp(
    { zoom, left, top }: View,
    ratio: number,
    spans: readonly number[],
    colours: Uint32Array,
    flags: Uint8Array | null,
    flag: number,
  ): void {
    const { xy, codes, pixels } = this;
    const { width, height } = this.image;
    const high = spans.length;
    const half = high / 2;
    const scale = (zoom * ratio) / 65_535;
    const [fromLeft, fromTop] = [left * zoom * ratio + half, top * zoom * ratio - half];
    for (let i = 0, at = 0; at < xy.length; i += 1, at += 2) {
      if (flags !== null && flags[i] !== flag) continue;
      const colour = colours[codes[i]!]!;
      if (colour >>> 24 === 0) continue;
      const x = Math.round(xy[at]! * scale - fromLeft);
      const y = Math.round(fromTop - xy[at + 1]! * scale);
      if (x < 0 || y < 0 || x + high > width || y + high > height) continue;
      for (let row = 0; row < high; row += 1) {
        const inset = spans[row]!;
        const start = (y + row) * width + x;
        for (let column = inset; column < high - inset; column += 1) pixels[start + column] = colour;
      }
    }
    this.context.putImageData(this.image, 0, 0);
  }

  private resize(width: number, height: number): void {
    if (this.image.width === width && this.image.height === height) return;
    this.canvas.width = width;
    this.canvas.height = height;
    this.image = this.context.createImageData(width, height);
    this.pixels = new Uint32Array(this.image.data.buffer);
  }
}

/** How wide points are: the fewer there are on the screen, the wider. */
export function pointSize(count: number, zoom: number, extent: number): number {
  const shown = count / Math.max(1, (zoom / extent) ** 2);
  return Math.min(9, Math.max(2, 240 / Math.sqrt(shown + 400)));
}

/** Of each row of a disc of this many pixels, how far in from its left and right side it begins. */
function spansOf(wide: number): number[] {
  const radius = wide / 2;
  return Array.from({ length: wide }, (_, row) => {
    if (wide <= SQUARE) return 0;
    const up = row + 0.5 - radius;
    return Math.round(radius - Math.sqrt(Math.max(0, radius ** 2 - up ** 2)));
  });
}
