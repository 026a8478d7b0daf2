/** Numbers, times and sizes as people read them. */

const whole = new Intl.NumberFormat("en");
const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium" });
const hour = new Intl.DateTimeFormat("en-GB", { timeStyle: "short" });
const moment = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

/** 12,345 */
export function count(value: number): string {
  return whole.format(value);
}

/** "1 hit", "2 hits" */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** Seconds: "12 ms", "3.4 s", "5 min", "2 h 10 min" */
export function duration(seconds: number): string {
  if (seconds < 0.9995) return `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
  if (seconds < 90) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Bytes: "3.4 MB" */
export function size(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${units[unit]}`;
}

/** A share from 0 to 1: "97.2 %" */
export function percent(share: number, digits = 1): string {
  return `${(100 * share).toFixed(digits)} %`;
}

/** A difference with its sign: "+0.0123", "−0.0045" */
export function signed(value: number, digits = 4): string {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;
}

/** A time in ISO 8601: "30 Nov 2026, 17:34", in this computer's zone; as it is where it is none. */
export function time(iso: string): string {
  const found = new Date(iso);
  return Number.isNaN(found.getTime()) ? iso : moment.format(found);
}

/** The hour and minute of a time in ISO 8601. */
export function clock(iso: string): string {
  const found = new Date(iso);
  return Number.isNaN(found.getTime()) ? iso : hour.format(found);
}

/** The day of a time in ISO 8601. */
export function date(iso: string): string {
  const found = new Date(iso);
  return Number.isNaN(found.getTime()) ? iso : day.format(found);
}

/** 1st, 2nd, 3rd, 4th */
export function ordinal(value: number): string {
  const ending = value % 100 > 10 && value % 100 < 14 ? 0 : value % 10;
  return `${value}${["th", "st", "nd", "rd"][ending] ?? "th"}`;
}

/** A metadata value as text. */
export function plain(value: unknown): string {
  if (Array.isArray(value)) return value.map(plain).join(", ");
  if (value !== null && typeof value === "object") return JSON.stringify(value);
  return String(value ?? "");
}
