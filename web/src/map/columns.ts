/** Points and colours as the server packs them: a JSON header, then columns of numbers. */

interface Described {
  name: string;
  type: "uint8" | "uint16" | "uint32" | "float32" | "float64";
  width: number;
  offset: number;
}

/** What every header says. */
export interface Header {
  points: number;
  version: string;
  seq: number;
  columns: Described[];
}

export type Column = Uint8Array | Uint16Array | Uint32Array | Float32Array | Float64Array;

const TYPES = {
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  float32: Float32Array,
  float64: Float64Array,
} as const;

/** The header, and its columns by name: views of the same bytes. */
export function unpack<H extends Header>(data: ArrayBuffer): { header: H; columns: Record<string, Column> } {
  const length = new DataView(data).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length))) as H;
  const columns: Record<string, Column> = {};
  for (const { name, type, width, offset } of header.columns) {
    columns[name] = new TYPES[type](data, 4 + length + offset, header.points * width);
  }
  return { header, columns };
}
