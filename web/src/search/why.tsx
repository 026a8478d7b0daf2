/** Why a result is where it is: what each stage adds to its score, and the stage's own score and place. */
import type { Hit } from "../client/types";
import { ordinal } from "../ui/format";

const NAMES: Record<string, string> = {
  dense: "Meaning",
  lexical: "Words",
  sparse: "Sparse weights",
  rerank: "Reranker",
};

/** Of the results that are shown: by stage its scores, the best first, and the best score of all. */
export interface Scores {
  stages: ReadonlyMap<string, readonly number[]>;
  best: number;
}

export function scoresOf(hits: readonly Hit[]): Scores {
  const stages = new Map<string, number[]>();
  for (const hit of hits) {
    for (const [stage, score] of Object.entries(hit.stages)) {
      if (!stages.has(stage)) stages.set(stage, []);
      if (score !== null) stages.get(stage)?.push(score);
    }
  }
  for (const scores of stages.values()) scores.sort((a, b) => b - a);
  return { stages, best: Math.max(0, ...hits.map(({ score }) => score)) };
}

export function Why({ hit, scores }: { hit: Hit; scores: Scores }) {
  const words = [...new Set(hit.highlights.map(([start, end]) => [...hit.snippet].slice(start, end).join("")))];
  return (
    <dl class="why">
      {[...scores.stages].map(([stage, all]) => (
        <Stage key={stage} stage={stage} hit={hit} all={all} best={scores.best} />
      ))}
      <dd class="why-words">
        {words.length > 0 ? `Words of the query in the snippet: ${words.join(", ")}.` : "No word of the query in the snippet."}
        {hit.copies.length > 0 && ` The same passage stands in ${hit.copies.join(", ")}.`}
      </dd>
    </dl>
  );
}

interface StageProps {
  stage: string;
  hit: Hit;
  /** The stage's scores of all results shown. */
  all: readonly number[];
  /** The best score of all results shown: the whole width. */
  best: number;
}

function Stage({ stage, hit, all, best }: StageProps) {
  const score = hit.stages[stage] ?? null;
  const share = hit.shares[stage] ?? null;
  const width = share !== null ? share / (best || 1) : score === null ? 0 : part(score, all);
  return (
    <>
      <dt>{NAMES[stage] ?? stage}</dt>
      <dd class="bar" aria-hidden="true">
        <span style={{ width: `${100 * width}%` }} />
      </dd>
      <dd class="number">{share !== null ? `+${share.toFixed(3)}` : (score?.toFixed(3) ?? "–")}</dd>
      <dd class="soft why-rank">
        {score === null
          ? "not found by it"
          : `${share !== null ? `${score.toFixed(3)}, ` : ""}${ordinal(all.indexOf(score) + 1)} of these`}
      </dd>
    </>
  );
}

/** Where a score lies between nothing, or the least, and the best. */
function part(score: number, all: readonly number[]): number {
  const [best, least] = [all[0] ?? 0, Math.min(0, all.at(-1) ?? 0)];
  return best === least ? 0 : (score - least) / (best - least);
}
