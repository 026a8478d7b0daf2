/** The Health tab: whether monitoring has raised an alarm and why, its checks, and how they went over time. */
import { useState } from "preact/hooks";

import { getHealth, runMonitor } from "../client/api";
import { useFetched } from "../client/fetched";
import type { Alarm, Check, MonitorReport, MonitorRun } from "../client/types";
import type { TabProps } from "../tabs";
import { time } from "../ui/format";
import { Empty, Failed, Loading } from "../ui/notices";
import { Charts } from "./charts";

const EVERY_MS = 30_000;

export function HealthTab({ collection }: TabProps) {
  const found = useFetched(`health ${collection}`, (signal) => getHealth(collection, signal), EVERY_MS);
  if (!found.data) {
    return found.error ? <Failed error={found.error} retry={found.reload} /> : <Loading what="Fetching the health" />;
  }
  const { report, history, golden_limit: limit } = found.data;
  if (!report && history.length === 0) {
    return (
      <Empty title="Not monitored yet">
        <p>
          Monitoring compares queries, documents, vectors and answers with a baseline, and says what changed and why. The
          first run takes the baseline. Later ones are best made by a timer: <code>gnomon monitor {collection}</code>
        </p>
        <p>
          <CheckNow collection={collection} name="Take the baseline" done={found.reload} />
        </p>
      </Empty>
    );
  }
  return (
    <div class="health">
      <div class="page-head">
        <h1>Health of {collection}</h1>
        <div class="toolbar-end">
          {report && (
            <span class="soft small">
              Checked {time(report.at)}, version {report.version}
            </span>
          )}
          <CheckNow collection={collection} name="Check now" done={found.reload} />
        </div>
      </div>
      {report && <Alarms report={report} />}
      {history.length > 0 && <Charts history={history} falseAlarms={report?.false_alarms ?? null} limit={limit ?? null} />}
      {report && <Checks checks={report.checks} />}
      <Runs history={history} />
    </div>
  );
}

interface CheckNowProps {
  collection: string;
  name: string;
  done: () => void;
}

function CheckNow({ collection, name, done }: CheckNowProps) {
  const [running, setRunning] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const run = async () => {
    setRunning(true);
    setError(null);
    try {
      await runMonitor(collection);
      done();
    } catch (failed) {
      setError(failed);
    }
    setRunning(false);
  };
  return (
    <>
      <button type="button" class="button" disabled={running} onClick={() => void run()}>
        {running ? "Checking…" : name}
      </button>
      {error ? <Failed error={error} /> : null}
    </>
  );
}

function Alarms({ report }: { report: MonitorReport }) {
  if (report.alarms.length === 0) {
    const open = report.checks.filter(({ state }) => state !== "ok").length;
    return (
      <p class="notice" role="status">
        <span class="badge badge-good">no alarm</span>{" "}
        {open === 0
          ? "All checks are well."
          : `${report.checks.length - open} of ${report.checks.length} checks are well; the others could not decide.`}
      </p>
    );
  }
  return (
    <section class="alarms" aria-label="Alarms">
      {report.alarms.map((alarm) => (
        <AlarmCard key={alarm.cause} alarm={alarm} />
      ))}
    </section>
  );
}

function AlarmCard({ alarm }: { alarm: Alarm }) {
  return (
    <article class="card alarm">
      <h2>
        <span class="badge badge-bad">alarm</span> {alarm.cause}
      </h2>
      <p>{alarm.message}</p>
      {alarm.hint && <p class="hint">{alarm.hint}</p>}
      <p class="small soft">Shown by: {alarm.checks.join(", ")}</p>
    </article>
  );
}

const STATES: Record<string, string> = { ok: "badge badge-good", alarm: "badge badge-bad" };

function Checks({ checks }: { checks: readonly Check[] }) {
  return (
    <section>
      <h2>Checks</h2>
      <div class="scroll" tabIndex={0} role="region" aria-label="Checks">
        <table>
          <thead>
            <tr>
              <th scope="col">check</th>
              <th scope="col">state</th>
              <th scope="col">what was found</th>
              <th scope="col" class="number">
                p, corrected
              </th>
            </tr>
          </thead>
          <tbody>
            {checks.map((check) => (
              <tr key={check.name}>
                <th scope="row">{check.name}</th>
                <td>
                  <span class={STATES[check.state] ?? "badge badge-warn"}>{check.state}</span>
                </td>
                <td>
                  {check.message}
                  {check.hint && <div class="soft">{check.hint}</div>}
                  {check.examples.length > 0 && (
                    <details>
                      <summary class="soft">Examples</summary>
                      <ul>
                        {check.examples.map((example) => (
                          <li key={example}>{example}</li>
                        ))}
                      </ul>
                    </details>
                  )}
                </td>
                <td class="number">{check.adjusted == null ? "" : check.adjusted.toFixed(3)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

const SHOWN = 20;

function Runs({ history }: { history: readonly MonitorRun[] }) {
  return (
    <section>
      <h2>Runs</h2>
      <div class="scroll" tabIndex={0} role="region" aria-label="Runs">
        <table>
          <thead>
            <tr>
              <th scope="col">at</th>
              <th scope="col">version</th>
              <th scope="col">alarms</th>
              <th scope="col" class="number">
                golden
              </th>
              <th scope="col" class="number">
                ms, median and 95 %
              </th>
            </tr>
          </thead>
          <tbody>
            {[...history]
              .reverse()
              .slice(0, SHOWN)
              .map((run) => (
                <tr key={run.at}>
                  <th scope="row">{time(run.at)}</th>
                  <td>{run.version}</td>
                  <td class={run.causes?.length ? "bad" : "soft"}>{run.causes?.join(", ") || "none"}</td>
                  <td class="number">{run.golden ? run.golden.mean.toFixed(3) : ""}</td>
                  <td class="number">{run.latency ? `${run.latency.p50.toFixed(0)} / ${run.latency.p95.toFixed(0)}` : ""}</td>
                </tr>
              ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
