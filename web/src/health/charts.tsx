/** The runs of monitoring as charts: golden queries, the tests for drift, and how long searches take. */
import type { MonitorRun } from "../client/types";
import { clock, date, time } from "../ui/format";
import { LineChart, type Series } from "../ui/line_chart";

/** Runs that are drawn. */
const MOST = 100;

interface ChartsProps {
  history: readonly MonitorRun[];
  /** The share of runs in which a false alarm is accepted, over all tests of a run. */
  falseAlarms: number | null;
  /** The sum of falls from which the golden queries raise an alarm. */
  limit: number | null;
}

export function Charts({ history, falseAlarms, limit }: ChartsProps) {
  const baseline = history.at(-1)?.baseline;
  const runs = history.filter((run) => run.baseline === baseline).slice(-MOST); // others are not comparable
  const names = runs.map((run) => time(run.at));
  const isOneDay = date(runs[0]?.at ?? "") === date(runs.at(-1)?.at ?? "");
  const labels = runs.map((run) => (isOneDay ? clock(run.at) : date(run.at)));
  const alarmsOf = (check: string) => runs.flatMap((run, at) => (run.states?.[check] === "alarm" ? [at] : []));
  const golden = (pick: (value: NonNullable<MonitorRun["golden"]>) => number) =>
    runs.map((run) => (run.golden ? pick(run.golden) : null));
  const hasGolden = runs.some((run) => run.golden);
  const tests = testsOf(runs);
  return (
    <div class="charts">
      {hasGolden && (
        <LineChart
          title="Golden queries"
          note="The same judged queries in each run: their mean, and that of the baseline"
          labels={labels}
          names={names}
          series={[
            { name: "mean", values: golden(({ mean }) => mean), colour: 1 },
            { name: "baseline", values: golden(({ base }) => base), colour: 6, dashed: true },
          ]}
          alarms={alarmsOf("golden")}
          format={(value) => value.toFixed(3)}
        />
      )}
      {hasGolden && (
        <LineChart
          title="Falls added up"
          note="CUSUM of the golden queries, in standard deviations: a slow decline shows here first"
          labels={labels}
          names={names}
          series={[{ name: "sum of falls", values: golden(({ sum }) => sum), colour: 2 }]}
          limit={limit === null ? undefined : { value: limit, name: "alarm from here on" }}
          alarms={alarmsOf("golden")}
          format={(value) => value.toFixed(1)}
        />
      )}
      {tests.length > 0 && (
        <LineChart
          title="Drift"
          note="p-values of the tests against the baseline, on a scale of logarithms: low ones show a change"
          labels={labels}
          names={names}
          series={tests}
          limit={falseAlarms === null ? undefined : { value: falseAlarms / tests.length, name: "the lowest of a run is an alarm below" }}
          log
          format={(value) => (value >= 0.001 ? String(Number(value.toPrecision(2))) : value.toExponential(0))}
        />
      )}
      {runs.some((run) => run.latency) && (
        <LineChart
          title="Search time"
          note="Milliseconds of the same searches, within the process"
          labels={labels}
          names={names}
          series={[
            { name: "median", values: runs.map((run) => run.latency?.p50 ?? null), colour: 1 },
            { name: "95 %", values: runs.map((run) => run.latency?.p95 ?? null), colour: 5 },
          ]}
          alarms={alarmsOf("latency")}
          format={(value) => String(Number(value.toPrecision(3)))}
        />
      )}
    </div>
  );
}

function testsOf(runs: readonly MonitorRun[]): Series[] {
  const names = [...new Set(runs.flatMap((run) => Object.keys(run.p ?? {})))].sort();
  return names.slice(0, 6).map((name, i) => ({
    name,
    values: runs.map((run) => run.p?.[name] ?? null),
    colour: i + 1,
    dots: true,
  }));
}
