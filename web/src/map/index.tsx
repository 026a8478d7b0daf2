/** The Map tab: a picture of the collection. Loaded when the tab is first opened. */
import type { TabProps } from "../tabs";

export default function MapTab({ collection }: TabProps) {
  return <p>{collection}</p>;
}
