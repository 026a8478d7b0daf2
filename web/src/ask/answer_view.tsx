/** An answer with its citations, and the passages that it rests on. */
import type { Answer, Citation, Passage, Sentence } from "../client/types";
import { hrefOf } from "../address";
import { pathOf, placeText } from "../search/place";
import type { Place } from "../tabs";
import { duration } from "../ui/format";
import { Failed } from "../ui/notices";
import { Marked, type Span } from "../ui/spans";
import type { Turn } from "./answer_stream";

interface ViewProps {
  turn: Turn;
  open: (place: Place) => void;
  retry: () => void;
}

export function AnswerView({ turn, open, retry }: ViewProps) {
  const cited = citationsByPassage(turn.sentences);
  const [used, rest] = [
    turn.passages.filter(({ number }) => cited.has(number)),
    turn.passages.filter(({ number }) => !cited.has(number)),
  ];
  return (
    <section class="turn" aria-label={turn.question}>
      <h2>{turn.question}</h2>
      {turn.answer && <Reservation answer={turn.answer} />}
      {(turn.sentences.length > 0 || turn.draft || turn.running) && (
        <div class="answer-text" aria-live="polite" aria-busy={turn.running}>
          {turn.sentences.map((sentence, i) => (
            <SentenceText key={i} sentence={sentence} open={open} isFirst={i === 0} />
          ))}
          {turn.draft && <span class="unverified"> {turn.draft.replace(/\s*\[\d*\]?/g, "")}</span>}
          {turn.running && <span class="caret" aria-hidden="true" />}
        </div>
      )}
      {turn.error ? <Failed error={turn.error} retry={retry} /> : null}
      {turn.answer && <Outcome answer={turn.answer} />}
      <Passages title="Sources" passages={used} cited={cited} open={open} />
      <Passages
        title={used.length > 0 ? "Also found" : turn.running ? "Found" : "The nearest passages"}
        passages={rest}
        cited={cited}
        open={open}
      />
    </section>
  );
}

interface PassagesProps {
  title: string;
  passages: readonly Passage[];
  cited: ReadonlyMap<number, readonly Citation[]>;
  open: (place: Place) => void;
}

function Passages({ title, passages, cited, open }: PassagesProps) {
  if (passages.length === 0) return null;
  return (
    <div>
      <h3 class="passages-head">{title}</h3>
      <ol class="passages">
        {passages.map((passage) => (
          <PassageItem key={passage.number} passage={passage} citations={cited.get(passage.number)} open={open} />
        ))}
      </ol>
    </div>
  );
}

function citationsByPassage(sentences: readonly Sentence[]): Map<number, Citation[]> {
  const found = new Map<number, Citation[]>();
  for (const citation of sentences.flatMap((sentence) => sentence.citations)) {
    found.set(citation.passage, [...(found.get(citation.passage) ?? []), citation]);
  }
  return found;
}

interface SentenceProps {
  sentence: Sentence;
  open: (place: Place) => void;
  isFirst: boolean;
}

function SentenceText({ sentence, open, isFirst }: SentenceProps) {
  return (
    <>
      {!isFirst && " "}
      <span
        class={sentence.supported ? undefined : "unsupported"}
        title={sentence.supported ? undefined : "No passage was found to say this"}
      >
        {sentence.text}
      </span>
      {sentence.citations.map((citation, i) => (
        <>
          {"\u2060" /* no line ends before a citation */}
          <Cite key={i} citation={citation} open={open} />
        </>
      ))}
    </>
  );
}

function Cite({ citation, open }: { citation: Citation; open: (place: Place) => void }) {
  return (
    <a
      class="cite"
      aria-label={`Source ${citation.passage}`}
      href={hrefOf({ doc: citation.document, at: `${citation.start}-${citation.end}` })}
      data-opens={citation.document}
      title={`${placeText(citation.document, citation.location)}\n“${citation.quote}”`}
      onClick={(event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        open(citation);
      }}
    >
      {citation.passage}
    </a>
  );
}

function Reservation({ answer }: { answer: Answer }) {
  if (answer.outcome === "answered") return null;
  if (answer.outcome === "possible") {
    return <p class="notice notice-warn">Perhaps this answers it: the passages are not sure to.</p>;
  }
  if (answer.outcome === "failed") {
    return <p class="notice notice-warn">The language model gave no usable answer. The passages that were found are below.</p>;
  }
  return (
    <p class="notice">
      <strong>Not in these documents.</strong>{" "}
      {answer.passages.length > 0 ? "The nearest passages are below." : "Nothing like it was found."}
    </p>
  );
}

function Outcome({ answer }: { answer: Answer }) {
  const total = answer.seconds.total ?? Object.values(answer.seconds).reduce((sum, each) => sum + each, 0);
  const threshold = answer.answer_threshold || answer.threshold;
  return (
    <>
      <p class="verdict">
        <span class="confidence" title={`An answer is given plainly from ${threshold.toFixed(2)} on`}>
          Confidence {answer.confidence.toFixed(2)}
          <span class="bar" aria-hidden="true">
            <span style={{ width: `${100 * answer.confidence}%` }} />
            <span class="threshold" style={{ left: `${100 * threshold}%` }} />
          </span>
        </span>
        {answer.text && <span>{answer.kind === "extractive" ? "Quoted from the documents" : `Written by ${answer.model ?? "a model"}`}</span>}
        <span>{duration(total)}</span>
        {answer.dropped.length > 0 && <span>{answer.dropped.length} unsupported left out</span>}
      </p>
      {answer.failures.map((failure, i) => (
        <p key={i} class="small warn">
          {failure.stage}: {failure.message} {failure.hint}
        </p>
      ))}
    </>
  );
}

const [LENGTH, LEAD] = [280, 60];

/** The first beginning of a word from `at` on, `latest` at the last. */
function wordStart(characters: readonly string[], at: number, latest: number): number {
  if (at === 0) return 0;
  const space = characters.slice(at, latest).findIndex((character) => /\s/.test(character));
  return space < 0 ? latest : at + space + 1;
}

/** The first end of a word from `at` on, at most 20 characters further. */
function wordEnd(characters: readonly string[], at: number): number {
  if (at >= characters.length) return characters.length;
  const space = characters.slice(at, at + 20).findIndex((character) => /\s/.test(character));
  return space < 0 ? at : at + space;
}

interface PassageProps {
  passage: Passage;
  citations: readonly Citation[] | undefined;
  open: (place: Place) => void;
}

function PassageItem({ passage, citations, open }: PassageProps) {
  const path = pathOf(passage.title, passage.heading);
  const first = citations?.[0];
  const place = first ?? passage;
  const { text, spans } = excerpt(passage, citations ?? []);
  return (
    <li class={citations ? "passage-item" : "passage-item is-uncited"}>
      <span class="passage-number">{passage.number}</span>
      <div>
        <div class="hit-head">
          {passage.row ? (
            <span class="hit-title">{passage.document}</span>
          ) : (
            <a
              class="hit-title"
              data-opens={passage.document}
              href={hrefOf({ doc: passage.document, at: `${place.start}-${place.end}` })}
              onClick={(event) => {
                if (event.ctrlKey || event.metaKey || event.shiftKey) return;
                event.preventDefault();
                open({ document: passage.document, start: place.start, end: place.end });
              }}
            >
              {passage.title || passage.document}
              {path.length > 0 && <span class="path"> › {path.join(" › ")}</span>}
            </a>
          )}
          <span class="hit-score">{passage.score.toFixed(3)}</span>
        </div>
        <p class="passage-quote">
          <Marked text={text} spans={spans} />
        </p>
        <p class="hit-foot">
          <span class="hit-place">{placeText(passage.document, passage.location)}</span>
        </p>
      </div>
    </li>
  );
}

/** The stretch of a passage around what is cited of it, with the cited spans; its beginning where nothing is. */
function excerpt(passage: Passage, citations: readonly Citation[]): { text: string; spans: Span[] } {
  const characters = [...passage.text];
  const cited = citations
    .map(({ start, end }) => [start - passage.start, end - passage.start] as const)
    .filter(([start, end]) => start >= 0 && end <= characters.length)
    .sort((a, b) => a[0] - b[0]);
  const from = wordStart(characters, Math.max(0, (cited[0]?.[0] ?? 0) - LEAD), cited[0]?.[0] ?? 0);
  const to = wordEnd(characters, Math.max(from + LENGTH, cited[0]?.[1] ?? 0));
  const lead = from > 0 ? "… " : "";
  const spans: Span[] = [];
  let at = from;
  for (const [start, end] of cited) {
    const [left, right] = [Math.max(start, at), Math.min(end, to)];
    if (left < right) spans.push([left - from + lead.length, right - from + lead.length]);
    at = Math.max(at, right);
  }
  return { text: lead + characters.slice(from, to).join("") + (to < characters.length ? " …" : ""), spans };
}
