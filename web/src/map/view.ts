/** Which part of the picture is seen: pure functions. */

/** Pixels a unit of the picture, which is 1 wide, and the picture's point at the left upper corner; y goes up. */
export interface View {
  zoom: number;
  left: number;
  top: number;
}

export interface Size {
  width: number;
  height: number;
}

const ROOM = 28;
const [LEAST, MOST] = [0.5, 400];

/** All of the picture, whose extent is from 0 to `right` and `up`, in the middle. */
export function fitted({ width, height }: Size, right = 1, up = 1): View {
  const zoom = Math.max(1, Math.min((width - 2 * ROOM) / (right || 1), (height - 2 * ROOM) / (up || 1)));
  return { zoom, left: right / 2 - width / 2 / zoom, top: up / 2 + height / 2 / zoom };
}

/** Where a point of the picture is on the screen. */
export function toScreen({ zoom, left, top }: View, x: number, y: number): [number, number] {
  return [(x - left) * zoom, (top - y) * zoom];
}

/** Which point of the picture is at a place of the screen. */
export function toPicture({ zoom, left, top }: View, x: number, y: number): [number, number] {
  return [left + x / zoom, top - y / zoom];
}

export function moved(view: View, dx: number, dy: number): View {
  return { ...view, left: view.left - dx / view.zoom, top: view.top + dy / view.zoom };
}

/** Larger by `factor`, with what is at this place of the screen staying there. */
export function zoomed(view: View, factor: number, x: number, y: number, size: Size): View {
  const whole = fitted(size).zoom;
  const zoom = Math.min(whole * MOST, Math.max(whole * LEAST, view.zoom * factor));
  const [px, py] = toPicture(view, x, y);
  return { zoom, left: px - x / zoom, top: py + y / zoom };
}

/** The picture with a point in the middle of the screen. */
export function centred(view: View, x: number, y: number, { width, height }: Size): View {
  return { ...view, left: x - width / 2 / view.zoom, top: y + height / 2 / view.zoom };
}

/** Whether a point lies within a polygon [x, y, x, y, …]: an odd number of its sides is to the right of it. */
export function isWithin(polygon: readonly number[], x: number, y: number): boolean {
  let inside = false;
  for (let i = 0, j = polygon.length - 2; i < polygon.length; j = i, i += 2) {
    const [xi, yi, xj, yj] = [polygon[i]!, polygon[i + 1]!, polygon[j]!, polygon[j + 1]!];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
  }
  return inside;
}
