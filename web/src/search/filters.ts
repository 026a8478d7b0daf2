/**
 * Filters on the fields of a collection: in the page's address, and as a condition of the server's language.
 *
 * Each is a parameter "f.FIELD": texts and truths as values joined by "|", or "~PART" for texts that contain a part;
 * numbers and dates as "FROM..TO" with either side left out at will. The parameter "where" holds a condition that was typed.
 */
import type { Address, Change } from "../address";
import type { FieldInfo, FieldType } from "../client/types";

const PREFIX = "f.";
const OWN = new Set(["id", "source", "title", "media_type"]);

/** The filters of an address: by field, as they are written there. */
export function filtersOf(address: Address): Map<string, string> {
  const found = Object.entries(address).filter(([name]) => name.startsWith(PREFIX));
  return new Map(found.map(([name, value]) => [name.slice(PREFIX.length), value]));
}

/** The change of the address that sets a field's filter; an empty text takes it away. */
export function filterChange(field: string, value: string): Change {
  return { [PREFIX + field]: value || null };
}

/** The change of the address that takes every filter away. */
export function withoutFilters(address: Address): Change {
  const names = Object.keys(address).filter((name) => name.startsWith(PREFIX));
  return { where: null, ...Object.fromEntries(names.map((name) => [name, null])) };
}

/** The values of a filter on texts or truths. A bar within a value is written "\|". */
export function valuesOf(filter: string): string[] {
  return filter
    ? filter
        .split(/(?<!\\)\|/)
        .map((value) => value.replaceAll("\\|", "|"))
    : [];
}

/** Values as a filter. */
export function ofValues(values: readonly string[]): string {
  return values.map((value) => value.replaceAll("|", "\\|")).join("|");
}

/** The part that texts are to contain; empty where the filter is one of values. */
export function partOf(filter: string): string {
  return filter.startsWith("~") ? filter.slice(1) : "";
}

/** A filter on texts that contain a part; none where it is empty. */
export function ofPart(part: string): string {
  return part && `~${part}`;
}

/** Both sides of a range. */
export function rangeOf(filter: string): [string, string] {
  const at = filter.indexOf("..");
  return at < 0 ? [filter, filter] : [filter.slice(0, at), filter.slice(at + 2)];
}

/** A range as a filter; none where both sides are open. */
export function ofRange(from: string, to: string): string {
  return from || to ? `${from}..${to}` : "";
}

/** A filter in a few words. */
export function describeFilter(field: string, type: FieldType, filter: string): string {
  if (type === "text" && partOf(filter)) return `${field}: with ${partOf(filter)}`;
  if (type === "text" || type === "boolean") return `${field}: ${valuesOf(filter).join(" or ")}`;
  const [from, to] = rangeOf(filter);
  if (from && to) return `${field}: ${from} to ${to}`;
  return from ? `${field}: from ${from}` : `${field}: to ${to}`;
}

/** All filters of an address as one condition; undefined where there is none, or the fields are not known yet. */
export function conditionOf(address: Address, fields: readonly FieldInfo[]): string | undefined {
  const types = new Map(fields.map((field) => [field.name, field.type]));
  const parts: string[] = [];
  for (const [field, filter] of filtersOf(address)) {
    const part = comparison(field, types.get(field) ?? "text", filter);
    if (part) parts.push(part);
  }
  const typed = address.where?.trim();
  if (typed) parts.push(parts.length > 0 ? `(${typed})` : typed);
  return parts.length > 0 ? parts.join(" and ") : undefined;
}

function comparison(field: string, type: FieldType, filter: string): string {
  const name = OWN.has(field) ? field : `"${field.replaceAll('"', '""')}"`;
  if (type === "boolean") return `${name} in (${valuesOf(filter).join(", ")})`;
  if (type === "text" && partOf(filter)) return `${name} ilike ${quoted(`%${partOf(filter)}%`)}`;
  if (type === "text") return `${name} in (${valuesOf(filter).map(quoted).join(", ")})`;
  const constant = type === "number" ? (value: string) => value : quoted;
  const [from, to] = rangeOf(filter);
  return [from && `${name} >= ${constant(from)}`, to && `${name} <= ${constant(to)}`].filter(Boolean).join(" and ");
}

function quoted(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}
