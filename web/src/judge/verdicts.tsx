/** What the judgments show so far: each way to search against the live one, with its interval. */
import type { JudgingReport, SystemVerdict } from "../client/types";
import { count, signed } from "../ui/format";

const STYLES: Record<string, string> = {
  better: "badge badge-good",
  worse: "badge badge-bad",
  "no difference": "badge",
  undecided: "badge badge-warn",
};

export function Verdicts({ report }: { report: JudgingReport }) {
  const reach = Math.max(...report.verdicts.map(({ interval }) => Math.max(...interval.map(Math.abs))), 0.01) * 1.1;
  return (
    <section class="judge-verdicts">
      <h2>Compared with {report.baseline}</h2>
      <ul>
        {report.verdicts.map((verdict) => (
          <li key={verdict.candidate}>
            <p class="judge-verdict-head">
              <strong>{verdict.candidate}</strong> <span class={STYLES[verdict.outcome] ?? "badge"}>{verdict.outcome}</span>
            </p>
            <Interval verdict={verdict} reach={reach} />
            <p class="small soft">
              {report.metric} {signed(verdict.difference, 3)} ({signed(verdict.interval[0], 3)} to {signed(verdict.interval[1], 3)})
              {verdict.outcome === "undecided" && verdict.needed !== null && `, about ${count(verdict.needed)} more judgments`}
              {verdict.people_interval &&
                `; people alone ±${half(verdict.people_interval)}, with ${report.model} ±${half(verdict.interval)}`}
            </p>
          </li>
        ))}
      </ul>
      {report.notes.map((note) => (
        <p key={note} class="notice small">
          {note}
        </p>
      ))}
    </section>
  );
}

function half([low, high]: readonly [number, number]): string {
  return ((high - low) / 2).toFixed(3);
}

const [WIDTH, HEIGHT] = [300, 26];

/** The interval of the difference on an axis with no difference in its middle; what it says stands below as text. */
function Interval({ verdict, reach }: { verdict: SystemVerdict; reach: number }) {
  const x = (value: number) => (WIDTH / 2) * (1 + Math.max(-1, Math.min(1, value / reach)));
  const [low, high] = verdict.interval;
  return (
    <svg class="interval" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true">
      <line class="axis" x1="0" x2={WIDTH} y1={HEIGHT / 2} y2={HEIGHT / 2} />
      <line class="axis" x1={WIDTH / 2} x2={WIDTH / 2} y1="3" y2={HEIGHT - 3} />
      <line class="span" x1={x(low)} x2={x(high)} y1={HEIGHT / 2} y2={HEIGHT / 2} />
      <circle class="mean" cx={x(verdict.difference)} cy={HEIGHT / 2} r="5" />
    </svg>
  );
}
