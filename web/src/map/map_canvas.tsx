/** The picture: points, and over them labels, the query and the lasso. The view moves without rendering. */
import KDBush from "kdbush";
import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";

import { followGestures } from "./pointer";
import { Raster } from "./raster";
import { centred, fitted, isWithin, type Size, toPicture, toScreen, type View } from "./view";

/** A text at a point of the picture. */
export interface Label {
  text: string;
  x: number;
  y: number;
}

/** A point of the picture, and others that lines lead to. */
export interface Marked {
  at: readonly [number, number];
  to: readonly (readonly [number, number])[];
}

interface MapCanvasProps {
  /** x and y of each point, uint16: 65,535 is 1 of the picture. */
  xy: Uint16Array;
  codes: Uint8Array;
  /** Red, green, blue, alpha of each of 256 codes. */
  palette: Uint8Array;
  chosen: Uint8Array | null;
  /** Largest first: those that would lie on another are left out. */
  labels: readonly Label[];
  marked: Marked | null;
  lassoing: boolean;
  description: string;
  /** Show the picture around this point; a new array each time. */
  focus: readonly [number, number] | null;
  hover: (place: number | null, at: readonly [number, number]) => void;
  pick: (place: number) => void;
  select: (places: readonly number[]) => void;
}

const NEAR_PIXELS = 8;
const SETTLED_MS = 120;

export function MapCanvas(props: MapCanvasProps) {
  const { xy, codes, palette, chosen, labels, marked, lassoing, description, focus } = props;
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const overlay = useRef<SVGSVGElement>(null);
  const latest = useRef(props);
  latest.current = props;
  const scene = useRef<Scene | null>(null);
  const index = useMemo(() => indexOf(xy), [xy]);

  useLayoutEffect(() => {
    if (!box.current || !canvas.current || !overlay.current) return undefined;
    scene.current = new Scene(box.current, canvas.current, overlay.current, latest);
    return () => {
      scene.current?.close();
      scene.current = null;
    };
  }, []);
  useLayoutEffect(() => scene.current?.setPoints(xy, index), [xy, index]);
  useLayoutEffect(() => scene.current?.raster.setColours(codes, palette), [codes, palette]);
  useLayoutEffect(() => scene.current?.raster.setChosen(chosen), [chosen, xy]);
  useEffect(() => scene.current?.draw(), [xy, codes, palette, chosen, labels, marked]);
  useEffect(() => {
    if (focus) scene.current?.centre(focus);
  }, [focus]);

  return (
    <div
      ref={box}
      class={lassoing ? "map-canvas lassoing" : "map-canvas"}
      tabIndex={0}
      role="application"
      aria-roledescription="map"
      aria-label={`${description} Arrow keys move it, plus and minus zoom, 0 shows all of it.`}
    >
      <canvas ref={canvas} />
      <svg ref={overlay} aria-hidden="true">
        <path class="map-lasso" />
        <g class="map-query">
          {marked?.to.map((_, i) => <line key={i} />)}
          {marked?.to.map((_, i) => <circle key={i} r="6" />)}
          {marked && <path class="map-query-at" d="M0-9 2.6-2.9 9-2.3 4.2 2 5.6 8.4 0 5-5.6 8.4-4.2 2-9-2.3-2.6-2.9Z" />}
        </g>
      </svg>
      <div class="map-labels" aria-hidden="true">
        {labels.map(({ text }) => (
          <span key={text}>{text}</span>
        ))}
      </div>
    </div>
  );
}

function indexOf(xy: Uint16Array): KDBush {
  const index = new KDBush(xy.length / 2, 64, Uint16Array);
  for (let i = 0; i < xy.length; i += 2) index.add(xy[i]!, xy[i + 1]!);
  return index.finish();
}

/** What is drawn and where: changed by gestures, frame by frame. */
class Scene {
  readonly raster: Raster;
  private view: View = { zoom: 1, left: 0, top: 1 };
  private size: Size = { width: 1, height: 1 };
  private extent: readonly [number, number] = [1, 1];
  private index: KDBush | null = null;
  private frame = 0;
  private moving = false;
  private settles = 0;
  private readonly ends: (() => void)[];

  constructor(
    private readonly box: HTMLElement,
    canvas: HTMLCanvasElement,
    private readonly overlay: SVGSVGElement,
    private readonly props: { current: MapCanvasProps },
  ) {
    this.raster = new Raster(canvas);
    const observer = new ResizeObserver(() => this.resize());
    observer.observe(box);
    const stop = followGestures(box, {
      view: () => this.view,
      size: () => this.size,
      change: (view, moving) => this.change(view, moving),
      reset: () => this.change(fitted(this.size, ...this.extent), false),
      point: (at) => this.props.current.hover(at && this.nearest(at), at ?? [0, 0]),
      pick: (at) => {
        const place = this.nearest(at);
        if (place !== null) this.props.current.pick(place);
      },
      lasso: (polygon, done) => this.lasso(polygon, done),
      drawsLasso: () => this.props.current.lassoing,
    });
    this.ends = [() => observer.disconnect(), stop];
    this.resize();
  }

  setPoints(xy: Uint16Array, index: KDBush): void {
    let [right, up] = [0, 0];
    for (let i = 0; i < xy.length; i += 2) {
      right = Math.max(right, xy[i]!);
      up = Math.max(up, xy[i + 1]!);
    }
    this.index = index;
    this.extent = [right / 65_535, up / 65_535];
    this.raster.setPoints(xy);
    this.view = fitted(this.size, ...this.extent);
  }

  centre([x, y]: readonly [number, number]): void {
    const { width, height } = this.size;
    const [sx, sy] = toScreen(this.view, x, y);
    const isSeen = sx > 0.1 * width && sx < 0.9 * width && sy > 0.1 * height && sy < 0.9 * height;
    if (!isSeen) this.change(centred(this.view, x, y, this.size), false);
  }

  /** Draw in the next frame. */
  draw(): void {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.raster.draw(this.view, this.size, Math.min(2, devicePixelRatio), this.moving);
      this.placeOverlay();
    });
  }

  close(): void {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.settles);
    for (const end of this.ends) end();
  }

  private change(view: View, moving: boolean): void {
    this.view = view;
    this.moving = moving;
    clearTimeout(this.settles);
    if (moving) this.settles = window.setTimeout(() => this.change(this.view, false), SETTLED_MS);
    this.draw();
  }

  private resize(): void {
    const { clientWidth: width, clientHeight: height } = this.box;
    if (width === 0 || height === 0) return;
    const isFirst = this.size.width === 1;
    const [x, y] = toPicture(this.view, this.size.width / 2, this.size.height / 2);
    this.size = { width, height };
    this.view = isFirst ? fitted(this.size, ...this.extent) : centred(this.view, x, y, this.size);
    this.draw();
  }

  /** The place of the nearest point that is shown, within a few pixels. */
  private nearest(at: readonly [number, number]): number | null {
    const { codes, palette, xy } = this.props.current;
    const [x, y] = toPicture(this.view, ...at).map((value) => value * 65_535) as [number, number];
    const found = this.index?.within(x, y, (NEAR_PIXELS / this.view.zoom) * 65_535) ?? [];
    let [best, least] = [null as number | null, Infinity];
    for (const place of found) {
      const distance = Math.hypot(xy[2 * place]! - x, xy[2 * place + 1]! - y);
      if (distance < least && palette[4 * codes[place]! + 3] !== 0) [best, least] = [place, distance];
    }
    return best;
  }

  private lasso(polygon: readonly number[], done: boolean): void {
    const path = this.overlay.querySelector(".map-lasso");
    const corners: string[] = [];
    for (let i = 0; i < polygon.length; i += 2) corners.push(`${polygon[i]!.toFixed(1)} ${polygon[i + 1]!.toFixed(1)}`);
    path?.setAttribute("d", done || corners.length === 0 ? "" : `M${corners.join("L")}Z`);
    if (!done || !this.index) return;
    const { codes, palette, xy, select } = this.props.current;
    const inPicture: number[] = [];
    for (let i = 0; i < polygon.length; i += 2) {
      const [x, y] = toPicture(this.view, polygon[i]!, polygon[i + 1]!);
      inPicture.push(x * 65_535, y * 65_535);
    }
    const [xs, ys] = [inPicture.filter((_, i) => i % 2 === 0), inPicture.filter((_, i) => i % 2 === 1)];
    const inBox = this.index.range(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys));
    const isShown = (place: number) => palette[4 * codes[place]! + 3] !== 0;
    const found = inBox.filter((at) => isShown(at) && isWithin(inPicture, xy[2 * at]!, xy[2 * at + 1]!));
    select(found.sort((a, b) => a - b));
  }

  private placeOverlay(): void {
    const { labels, marked } = this.props.current;
    this.placeLabels(labels);
    if (!marked) return;
    const [x, y] = toScreen(this.view, ...marked.at);
    this.overlay.querySelector(".map-query-at")?.setAttribute("transform", `translate(${x} ${y})`);
    const ends = marked.to.map(([ex, ey]) => toScreen(this.view, ex, ey));
    this.overlay.querySelectorAll("line").forEach((line, i) => {
      const [ex, ey] = ends[i] ?? [x, y];
      for (const [name, value] of [["x1", x], ["y1", y], ["x2", ex], ["y2", ey]] as const) line.setAttribute(name, String(value));
    });
    this.overlay.querySelectorAll("circle").forEach((circle, i) => {
      const [ex, ey] = ends[i] ?? [x, y];
      circle.setAttribute("cx", String(ex));
      circle.setAttribute("cy", String(ey));
    });
  }

  private placeLabels(labels: readonly Label[]): void {
    const taken: [number, number, number][] = [];
    this.box.querySelectorAll<HTMLElement>(".map-labels span").forEach((span, i) => {
      const label = labels[i];
      if (!label) return;
      const [x, y] = toScreen(this.view, label.x, label.y);
      const half = 3.4 * label.text.length + 8;
      const fits = taken.every(([tx, ty, th]) => Math.abs(tx - x) > th + half || Math.abs(ty - y) > 20);
      if (fits) taken.push([x, y, half]);
      span.style.visibility = fits ? "visible" : "hidden";
      span.style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px) translate(-50%, -50%)`;
    });
  }
}
