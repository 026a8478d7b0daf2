/** A document beside the results, scrolled to a passage that is marked. */
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";

import { getDocument } from "../client/api";
import { useFetched } from "../client/fetched";
import type { DocumentText } from "../client/types";
import { plain } from "../ui/format";
import { Icon } from "../ui/icon";
import { Failed, Loading } from "../ui/notices";
import { unitOffsets } from "../ui/spans";

interface PanelProps {
  collection: string;
  document: string;
  /** "START-END" in characters; empty where no passage is meant. */
  at: string;
  close: () => void;
}

export function DocumentPanel({ collection, document: id, at, close }: PanelProps) {
  const heading = useId();
  const title = useRef<HTMLHeadingElement>(null);
  const found = useFetched(`document ${collection} ${id}`, (signal) => getDocument(collection, id, signal));
  const document = found.data?.id === id ? found.data : null;
  useEffect(() => title.current?.focus({ preventScroll: true }), [id, at]);
  return (
    <aside class="panel" aria-labelledby={heading}>
      <div class="panel-head">
        <div>
          <h2 id={heading} ref={title} tabIndex={-1}>
            {document?.title || id}
          </h2>
          <p class="panel-id">{id}</p>
        </div>
        <button type="button" class="icon-button" aria-label="Close the document" title="Close (Esc)" onClick={close}>
          <Icon name="close" />
        </button>
      </div>
      <div class="panel-body" tabIndex={0} role="region" aria-label="Text of the document">
        {found.error ? (
          <Failed error={found.error} retry={found.reload} />
        ) : document ? (
          <>
            <Facts document={document} />
            <Text key={id} text={document.text} at={at} />
          </>
        ) : (
          <Loading what="Fetching the document" />
        )}
      </div>
    </aside>
  );
}

function Facts({ document }: { document: DocumentText }) {
  const facts = Object.entries(document.metadata).filter(([, value]) => value !== null && value !== "");
  if (facts.length === 0) return null;
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <>
          <dt>{name}</dt>
          <dd>{plain(value)}</dd>
        </>
      ))}
    </dl>
  );
}

/** UTF-16 units shown on each side of the passage before all is asked for. */
const AROUND = 60_000;

/** The text with the passage marked. Of a very long one only the surroundings are shown at first. */
function Text({ text, at }: { text: string; at: string }) {
  const [showsAll, setShowsAll] = useState(false);
  const passage = useRef<HTMLElement>(null);
  const [from, to] = at.split("-").map(Number);
  const [start = 0, end = 0] =
    from === undefined || Number.isNaN(from) ? [0, 0] : unitOffsets(text, [from, Math.max(from, to ?? from)]);
  const first = showsAll ? 0 : Math.max(0, start - AROUND);
  const last = showsAll ? text.length : Math.min(text.length, Math.max(end, start) + AROUND);
  useLayoutEffect(() => {
    passage.current?.scrollIntoView({ block: "start" });
  }, [at, showsAll]);
  const rest = (
    <span class="clipped">
      <button type="button" class="button" onClick={() => setShowsAll(true)}>
        Show the whole document
      </button>
    </span>
  );
  return (
    <div class="panel-text">
      {first > 0 && rest}
      {text.slice(first, start)}
      {end > start && (
        <mark class="passage-block" ref={passage}>
          {text.slice(start, end)}
        </mark>
      )}
      {text.slice(end > start ? end : start, last)}
      {last < text.length && rest}
    </div>
  );
}
