/** Why a result is where it is: its score and place by each stage, beside the best of the results shown. */
import type { Hit } from "../client/types";
import { ordinal } from "../ui/format";

const NAMES: Record<string, string> = {
  dense: "Meaning",
  lexical: "Words",
  sparse: "Sparse weights",
  rerank: "Reranker",
  late: "Late interaction",
};

/** A stage's scores of all results that are shown, best first. */
export type StageScores = ReadonlyMap<string, readonly number[]>;

/** By stage, the scores of the results that it found. */
export function stageScores(hits: readonly Hit[]): StageScores {
  const found = new Map<string, number[]>();
  for (const hit of hits) {
    for (const [stage, score] of Object.entries(hit.stages)) {
      if (!found.has(stage)) found.set(stage, []);
      if (score !== null) found.get(stage)?.push(score);
    }
  }
  for (const scores of found.values()) scores.sort((a, b) => b - a);
  return found;
}

export function Why({ hit, scores }: { hit: Hit; scores: StageScores }) {
  const words = [...new Set(hit.highlights.map(([start, end]) => [...hit.snippet].slice(start, end).join("")))];
  return (
    <dl class="why">
      {[...scores].map(([stage, all]) => (
        <Stage key={stage} name={NAMES[stage] ?? stage} score={hit.stages[stage] ?? null} all={all} />
      ))}
      <dd class="why-words">
        {words.length > 0 ? `Words of the query in the snippet: ${words.join(", ")}` : "No word of the query in the snippet"}
        {hit.copies.length > 0 && `. The same passage stands in ${hit.copies.join(", ")}`}
      </dd>
    </dl>
  );
}

function Stage({ name, score, all }: { name: string; score: number | null; all: readonly number[] }) {
  const best = all[0] ?? 0;
  const least = Math.min(0, all[all.length - 1] ?? 0);
  const share = score === null || best === least ? 0 : (score - least) / (best - least);
  return (
    <>
      <dt>{name}</dt>
      <dd class="bar" aria-hidden="true">
        <span style={{ width: `${100 * share}%` }} />
      </dd>
      <dd class="number">{score === null ? "–" : score.toFixed(3)}</dd>
      <dd class="soft why-rank">{score === null ? "not found by it" : `${ordinal(all.indexOf(score) + 1)} of these`}</dd>
    </>
  );
}
