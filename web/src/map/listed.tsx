/** Passages that were chosen on the map, as a list that opens their documents. */
import { useState } from "preact/hooks";

import type { Place } from "../tabs";
import { counted } from "../ui/format";
import { Icon } from "../ui/icon";
import type { PointText } from "./map_api";
import { useTexts } from "./texts";

interface ListedProps {
  collection: string;
  title: string;
  ids: readonly number[];
  /** What is said of each, such as its similarity. */
  notes?: ReadonlyMap<number, string>;
  open: (place: Place) => void;
  /** Show a passage on the map. */
  show: (id: number) => void;
  close: () => void;
}

const STEP = 50;

export function Listed({ collection, title, ids, notes, open, show, close }: ListedProps) {
  const [shown, setShown] = useState(STEP);
  const first = ids.slice(0, shown);
  const texts = useTexts(collection, first);
  return (
    <section class="map-listed" aria-label={title}>
      <div class="map-side-head">
        <h2>{title}</h2>
        <button type="button" class="icon-button" aria-label="Close the list" onClick={close}>
          <Icon name="close" />
        </button>
      </div>
      <p class="map-note" role="status">
        {counted(ids.length, "passage")}
      </p>
      <ol>
        {first.map((id) => (
          <Item key={id} id={id} text={texts.get(id)} note={notes?.get(id)} open={open} show={show} />
        ))}
      </ol>
      {ids.length > shown && (
        <button type="button" class="button" onClick={() => setShown(shown + STEP)}>
          Show more
        </button>
      )}
    </section>
  );
}

interface ItemProps {
  id: number;
  text: PointText | undefined;
  note: string | undefined;
  open: (place: Place) => void;
  show: (id: number) => void;
}

function Item({ id, text, note, open, show }: ItemProps) {
  return (
    <li>
      <button
        type="button"
        class="map-passage"
        data-opens={text?.document}
        disabled={!text}
        onClick={() => text && open(text)}
        onPointerEnter={() => show(id)}
        onFocus={() => show(id)}
      >
        <strong>{text ? text.title || text.document : "…"}</strong>
        {note && <span class="map-count">{note}</span>}
        <span class="map-snippet">{text?.snippet ?? " "}</span>
      </button>
    </li>
  );
}
