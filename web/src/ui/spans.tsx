/** Texts with marked spans. The server counts characters (code points), JavaScript UTF-16 units: converted here. */

/** A span of a text in characters: start, and the end that is not part of it. */
export type Span = readonly [number, number];

/** Where the characters at `offsets` (rising) stand in `text`, in UTF-16 units. */
export function unitOffsets(text: string, offsets: readonly number[]): number[] {
  if (!/[\ud800-\udbff]/.test(text)) return offsets.map((offset) => Math.min(offset, text.length));
  const found: number[] = [];
  let unit = 0;
  let character = 0;
  for (const offset of offsets) {
    while (character < offset && unit < text.length) {
      unit += (text.codePointAt(unit) ?? 0) > 0xffff ? 2 : 1;
      character += 1;
    }
    found.push(unit);
  }
  return found;
}

/** A stretch of a text, marked or not. */
export interface Piece {
  text: string;
  marked: boolean;
}

/** The text cut at its spans, which are in order and do not overlap. */
export function pieces(text: string, spans: readonly Span[]): Piece[] {
  const offsets = unitOffsets(text, spans.flat());
  const found: Piece[] = [];
  let at = 0;
  for (let i = 0; i < offsets.length; i += 2) {
    const start = Math.max(at, offsets[i] ?? 0);
    const end = Math.max(start, offsets[i + 1] ?? start);
    if (start > at) found.push({ text: text.slice(at, start), marked: false });
    if (end > start) found.push({ text: text.slice(start, end), marked: true });
    at = end;
  }
  if (at < text.length) found.push({ text: text.slice(at), marked: false });
  return found;
}

/** A text with its spans marked. Always text: nothing of a document is taken as HTML. */
export function Marked({ text, spans }: { text: string; spans: readonly Span[] }) {
  return <>{pieces(text, spans).map((piece, i) => (piece.marked ? <mark key={i}>{piece.text}</mark> : piece.text))}</>;
}
