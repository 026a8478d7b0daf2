/** Where a text stands, in words. */
import type { Location } from "../client/types";

/** "docs/scan.md:3-9", "report.pdf, page 2" or the document alone. */
export function placeText(document: string, location: Location | null): string {
  if (!location) return document;
  const { unit, first, last } = location;
  const span = last > first ? `${first}–${last}` : `${first}`;
  return unit === "line" ? `${document}:${span}` : `${document}, ${unit}${last > first ? "s" : ""} ${span}`;
}

/** The headings above a text, without the title where it is the first of them. */
export function pathOf(title: string, heading: readonly string[]): string[] {
  return heading.filter((part) => part !== title);
}
