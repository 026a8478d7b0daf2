/** The tabs of the page, and what each is given. */

export const TABS = ["search", "ask", "map", "versions", "health", "judge"] as const;
export type TabName = (typeof TABS)[number];

/** A passage of a document: offsets in characters (code points), as the server counts them. */
export interface Place {
  document: string;
  start?: number;
  end?: number;
}

/** What every tab is given. */
export interface TabProps {
  /** The name of the collection that is shown. */
  collection: string;
  /** Show a document in the side panel, at a passage. */
  open: (place: Place) => void;
}
