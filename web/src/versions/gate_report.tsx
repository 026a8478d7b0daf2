/** What the gate found: quality with its interval, segments, recall, speed and size, both versions side by side. */
import { getGateReport } from "../client/api";
import { useFetched } from "../client/fetched";
import type { GateReport, Segment, Verdict } from "../client/types";
import { Dialog } from "../ui/dialog";
import { count, duration, percent, signed, size, time } from "../ui/format";
import { Failed, Loading } from "../ui/notices";
import { GATE_STYLES } from "./gate_outcomes";

interface ReportProps {
  collection: string;
  version: string;
  close: () => void;
}

export function GateReportDialog({ collection, version, close }: ReportProps) {
  const found = useFetched(`gate ${collection} ${version}`, (signal) => getGateReport(collection, version, signal));
  return (
    <Dialog title={`Gate report of ${version}`} close={close} wide>
      {found.error ? (
        <Failed error={found.error} retry={found.reload} />
      ) : found.data ? (
        <Report report={found.data} />
      ) : (
        <Loading what="Fetching the report" />
      )}
    </Dialog>
  );
}

function Report({ report }: { report: GateReport }) {
  const { verdict } = report;
  return (
    <div class="gate">
      <p>
        <span class={GATE_STYLES[report.outcome] ?? "badge"}>{report.outcome}</span> {report.explained}{" "}
        {report.at && <span class="soft small">{time(report.at)}</span>}
      </p>
      {report.alarms.map((alarm) => (
        <p key={alarm.kind} class="bad">
          {alarm.kind}: {percent(alarm.found)} found, {percent(alarm.expected)} before
        </p>
      ))}
      {verdict && <Interval verdict={verdict} />}
      <Figures report={report} />
      {report.segments.length > 0 && <Segments segments={report.segments} names={[report.baseline, report.version]} />}
      {verdict && verdict.changed.length > 0 && (
        <Changed verdict={verdict} texts={report.texts} names={[report.baseline, report.version]} />
      )}
    </div>
  );
}

const [WIDTH, LEFT, RIGHT] = [560, 30, 530];

/** The interval of the difference on an axis, with the loss that is accepted as a band. */
function Interval({ verdict }: { verdict: Verdict }) {
  const [low, high] = verdict.interval;
  const reach = 1.15 * Math.max(Math.abs(low), Math.abs(high), 2 * verdict.margin);
  const x = (value: number) => LEFT + ((value + reach) / (2 * reach)) * (RIGHT - LEFT);
  return (
    <figure>
      <svg
        class="interval"
        viewBox={`0 0 ${WIDTH} 78`}
        role="img"
        aria-label={`Difference ${signed(verdict.difference)}, interval ${signed(low)} to ${signed(high)}`}
      >
        <rect class="margin" x={x(-verdict.margin)} y="14" width={x(0) - x(-verdict.margin)} height="36" />
        <line class="axis" x1={LEFT} x2={RIGHT} y1="50" y2="50" />
        <line class="axis" x1={x(0)} x2={x(0)} y1="8" y2="54" />
        <line class="span" x1={x(low)} x2={x(high)} y1="32" y2="32" />
        <circle class="mean" cx={x(verdict.difference)} cy="32" r="6" />
        <text x={x(0)} y="70" text-anchor="middle">
          no difference
        </text>
        <text x={LEFT} y="70">
          {verdict.candidate} worse
        </text>
        <text x={RIGHT} y="70" text-anchor="end">
          {verdict.candidate} better
        </text>
      </svg>
      <figcaption class="small soft">
        {verdict.metric}: {signed(verdict.difference)} ({signed(low)} to {signed(high)}) over {count(verdict.n)} queries;
        better on {count(verdict.wins)}, equal on {count(verdict.ties)}, worse on {count(verdict.losses)}. The band is the
        loss that is accepted.
      </figcaption>
    </figure>
  );
}

function Figures({ report }: { report: GateReport }) {
  const { verdict, latency } = report;
  const rows: string[][] = [];
  if (verdict) rows.push([verdict.metric, verdict.mean_baseline.toFixed(4), verdict.mean_candidate.toFixed(4)]);
  for (const [kind, [then, now]] of Object.entries(report.recall)) rows.push([kind, percent(then), percent(now)]);
  const [old, fresh] = latency;
  if (old?.n && fresh?.n) {
    rows.push(["search, median", duration(old.p50_s), duration(fresh.p50_s)]);
    rows.push(["search, 95 %", duration(old.p95_s), duration(fresh.p95_s)]);
  }
  const [live, candidate] = report.size;
  if (live && candidate) {
    rows.push(["on disk", size(live.total), size(candidate.total)]);
    rows.push(["passages", count(live.chunks), count(candidate.chunks)]);
  }
  return (
    <Table
      head={["", report.baseline, report.version]}
      rows={rows}
      caption="Quality, speed and size"
    />
  );
}

function Segments({ segments, names }: { segments: readonly Segment[]; names: readonly string[] }) {
  const ordered = [...segments].sort((a, b) => Number(b.is_worse) - Number(a.is_worse) || a.difference - b.difference);
  const rows = ordered.map((one) => [
    one.name,
    count(one.n),
    one.mean_baseline.toFixed(4),
    one.mean_candidate.toFixed(4),
    signed(one.difference),
    one.is_worse ? "worse beyond chance" : (one.outcome ?? "too few"),
  ]);
  return <Table head={["", "queries", ...names, "difference", ""]} rows={rows} caption="Segments, the worst first" />;
}

interface ChangedProps {
  verdict: Verdict;
  texts: Record<string, string>;
  names: readonly string[];
}

function Changed({ verdict, texts, names }: ChangedProps) {
  const rows = verdict.changed.map(({ query, baseline, candidate }) => [
    texts[query] ?? query,
    baseline.toFixed(3),
    candidate.toFixed(3),
    signed(candidate - baseline, 3),
  ]);
  return <Table head={["", ...names, "difference"]} rows={rows} caption="Queries that changed most" />;
}

interface TableProps {
  head: readonly string[];
  rows: readonly (readonly string[])[];
  caption: string;
}

function Table({ head, rows, caption }: TableProps) {
  return (
    <section>
      <h3>{caption}</h3>
      <div class="scroll" tabIndex={0} role="region" aria-label={caption}>
        <table>
          <thead>
            <tr>
              {head.map((name, i) =>
                name ? (
                  <th key={i} scope="col" class={i > 0 ? "number" : undefined}>
                    {name}
                  </th>
                ) : (
                  <td key={i} />
                ),
              )}
            </tr>
          </thead>
          <tbody>
            {rows.map(([name, ...cells], i) => (
              <tr key={i}>
                <th scope="row">{name}</th>
                {cells.map((cell, j) => (
                  <td key={j} class="number">
                    {cell}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
