/** One result of a search. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";

import { hrefOf } from "../address";
import type { FeedbackKind, Hit } from "../client/types";
import type { Place } from "../tabs";
import { counted } from "../ui/format";
import { Marked } from "../ui/spans";
import { pathOf, placeText } from "./place";
import { Thumbs } from "./thumbs";
import { type Scores, Why } from "./why";

interface HitProps {
  hit: Hit;
  rank: number;
  scores: Scores;
  open: (place: Place) => void;
  isOpen: boolean;
  explains: boolean;
  /** How it moved, where two versions are compared. */
  badge?: ComponentChildren;
  /** Told of clicks and thumbs, where the server keeps them. */
  feedback?: (kind: FeedbackKind) => void;
}

export function HitItem({ hit, rank, scores, open, isOpen, explains, badge, feedback }: HitProps) {
  const [asksWhy, setAsksWhy] = useState(false);
  const path = pathOf(hit.title, hit.heading);
  const follow = (event: MouseEvent) => {
    feedback?.("click");
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    open(hit);
  };
  const showsWhy = explains || asksWhy;
  return (
    <article class={isOpen ? "hit is-open" : "hit"}>
      <span class="hit-rank" aria-hidden="true">
        {rank}
      </span>
      <div class="hit-main">
        <div class="hit-head">
          <a
            class="hit-title"
            data-hit
            data-opens={hit.document}
            href={hrefOf({ doc: hit.document, at: `${hit.start}-${hit.end}` })}
            onClick={follow}
          >
            {hit.title || hit.document}
            {path.length > 0 && <span class="path"> › {path.join(" › ")}</span>}
          </a>
          {badge}
          <span class="hit-score" title="Score">
            {hit.score.toFixed(3)}
          </span>
        </div>
        <p class="hit-snippet">
          {!flat(hit.text).startsWith(hit.snippet) && "… "}
          <Marked text={hit.snippet} spans={hit.highlights} />
          {!flat(hit.text).endsWith(hit.snippet) && " …"}
        </p>
        {showsWhy && <Why hit={hit} scores={scores} />}
        <p class="hit-foot">
          <span class="hit-place">{placeText(hit.document, hit.location)}</span>
          {hit.more > 0 && <span>{counted(hit.more, "more passage")} of it</span>}
          {hit.copies.length > 0 && <span>the same in {counted(hit.copies.length, "other document")}</span>}
          {!explains && (
            <button type="button" class="link-button" aria-expanded={asksWhy} onClick={() => setAsksWhy(!asksWhy)}>
              why
              <span class="hidden-text"> this result: {hit.title || hit.document}</span>
            </button>
          )}
          {feedback && <Thumbs of={hit.title || hit.document} say={feedback} />}
        </p>
      </div>
    </article>
  );
}

function flat(text: string): string {
  return text.split(/\s+/).join(" ").trim();
}
