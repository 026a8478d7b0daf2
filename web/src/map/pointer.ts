/** What pointers and keys do to the view: drag, pinch, wheel, lasso, arrows. */
import { moved, type Size, type View, zoomed } from "./view";

export interface Gestures {
  view: () => View;
  size: () => Size;
  /** The view was changed; `moving`: more changes are on their way. */
  change: (view: View, moving: boolean) => void;
  /** Show the whole picture. */
  reset: () => void;
  /** The pointer rests at a place of the screen; null: it left. */
  point: (at: readonly [number, number] | null) => void;
  /** A place was clicked. */
  pick: (at: readonly [number, number]) => void;
  /** A lasso is drawn: places of the screen, x and y one after another. `done`: it was let go. */
  lasso: (polygon: readonly number[], done: boolean) => void;
  /** Whether dragging draws a lasso; with the shift key it always does. */
  drawsLasso: () => boolean;
}

const CLICK_PIXELS = 4;
const STEP = 60;

/** Follow an element's pointers, wheel and keys, until the function that is returned is called. */
export function followGestures(element: HTMLElement, act: Gestures): () => void {
  const stop = new AbortController();
  const on = <K extends keyof HTMLElementEventMap>(name: K, react: (event: HTMLElementEventMap[K]) => void) =>
    element.addEventListener(name, react, { signal: stop.signal, passive: false });
  const pointers = new Map<number, readonly [number, number]>();
  let polygon: number[] | null = null;
  let travelled = 0;
  const placeOf = (event: MouseEvent): readonly [number, number] => {
    const box = element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  on("pointerdown", (event) => {
    if (event.button !== 0) return;
    element.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, placeOf(event));
    travelled = 0;
    polygon = pointers.size === 1 && (event.shiftKey || act.drawsLasso()) ? [...placeOf(event)] : null;
    act.point(null);
  });
  on("pointermove", (event) => {
    const now = placeOf(event);
    const before = pointers.get(event.pointerId);
    if (!before) return act.point(now);
    const [dx, dy] = [now[0] - before[0], now[1] - before[1]];
    travelled += Math.abs(dx) + Math.abs(dy);
    if (polygon) {
      polygon.push(...now);
      act.lasso(polygon, false);
    } else if (pointers.size === 1) {
      act.change(moved(act.view(), dx, dy), true);
    } else {
      const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
      if (!other) return undefined;
      const factor = distance(now, other) / Math.max(1, distance(before, other));
      act.change(zoomed(moved(act.view(), dx / 2, dy / 2), factor, other[0], other[1], act.size()), true);
    }
    pointers.set(event.pointerId, now);
    return undefined;
  });
  const release = (event: PointerEvent) => {
    if (!pointers.delete(event.pointerId)) return;
    if (polygon && travelled > CLICK_PIXELS) act.lasso(polygon, true);
    else if (polygon) act.lasso([], false);
    else act.change(act.view(), false);
    if (event.type === "pointerup" && travelled <= CLICK_PIXELS) act.pick(placeOf(event));
    polygon = null;
  };
  on("pointerup", release);
  on("pointercancel", release);
  on("pointerleave", () => act.point(null));
  on("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    const [x, y] = placeOf(event);
    act.point(null);
    act.change(zoomed(act.view(), Math.exp(-event.deltaY * lines * 0.0015), x, y, act.size()), true);
    act.change(act.view(), false);
  });
  on("dblclick", (event) => {
    const [x, y] = placeOf(event);
    act.change(zoomed(act.view(), 2, x, y, act.size()), false);
  });
  on("keydown", (event) => {
    const { width, height } = act.size();
    const scale = (factor: number) => zoomed(act.view(), factor, width / 2, height / 2, act.size());
    const changes: Record<string, () => View> = {
      ArrowLeft: () => moved(act.view(), STEP, 0),
      ArrowRight: () => moved(act.view(), -STEP, 0),
      ArrowUp: () => moved(act.view(), 0, STEP),
      ArrowDown: () => moved(act.view(), 0, -STEP),
      "+": () => scale(1.4),
      "=": () => scale(1.4),
      "-": () => scale(1 / 1.4),
    };
    const change = changes[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey || !(change || event.key === "0")) return;
    event.preventDefault();
    event.stopPropagation();
    if (change) act.change(change(), false);
    else act.reset();
  });
  return () => stop.abort();
}

function distance([ax, ay]: readonly [number, number], [bx, by]: readonly [number, number]): number {
  return Math.hypot(ax - bx, ay - by);
}
