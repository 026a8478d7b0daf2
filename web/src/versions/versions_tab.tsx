/** The Versions tab: which version answers, what is being built, what the gate found; switch and rollback. */
import { useState } from "preact/hooks";

import * as api from "../client/api";
import { useFetched } from "../client/fetched";
import type { Migration, Status, VersionInfo } from "../client/types";
import type { TabProps } from "../tabs";
import { count, size } from "../ui/format";
import { Failed, Loading } from "../ui/notices";
import { ConfirmChange } from "./confirm_change";
import { GateReportDialog } from "./gate_report";
import { VersionCard } from "./version_card";

const BUILDING_MS = 1000;
const QUIET_MS = 15_000;
const ORDER = ["live", "building", "ready", "retired"];

/** What is asked to be confirmed: a switch to a version, or a rollback. */
type Change = { kind: "switch"; to: VersionInfo } | { kind: "rollback" };

export function VersionsTab({ collection }: TabProps) {
  const [change, setChange] = useState<Change | null>(null);
  const [report, setReport] = useState<string | null>(null);
  const [done, setDone] = useState("");
  const [everyMs, setEveryMs] = useState(QUIET_MS);
  const found = useFetched(
    `versions tab ${collection}`,
    async (signal) => {
      const [versions, migrations, status] = await Promise.all([
        api.listVersions(collection, signal),
        api.listMigrations(collection, signal),
        api.getStatus(collection, signal),
      ]);
      setEveryMs(migrations.some(({ running }) => running) ? BUILDING_MS : QUIET_MS);
      return { versions, migrations, status };
    },
    everyMs,
  );
  const [failed, setFailed] = useState<unknown>(null);
  const stop = async () => {
    setFailed(null);
    try {
      await api.stopMigration(collection);
      setDone("The build stops after the texts at hand; the same command resumes it.");
      found.reload();
    } catch (error) {
      setFailed(error);
    }
  };
  if (!found.data) {
    return found.error ? <Failed error={found.error} retry={found.reload} /> : <Loading what="Fetching the versions" />;
  }
  const { versions, migrations, status } = found.data;
  const live = versions.find(({ state }) => state === "live");
  const ordered = [...versions].sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || b.id - a.id);
  return (
    <>
      <div class="page-head">
        <h1>Versions of {collection}</h1>
        <button
          type="button"
          class="button"
          disabled={versions.length < 2}
          onClick={() => setChange({ kind: "rollback" })}
        >
          Roll back…
        </button>
      </div>
      {done && (
        <p class="notice" role="status">
          {done}
        </p>
      )}
      {failed ? <Failed error={failed} /> : null}
      <Figures status={status} />
      <ol class="version-list">
        {ordered.map((version) => (
          <li key={version.name}>
            <VersionCard
              version={version}
              migration={migrations.find((each) => each.version === version.name)}
              isFirst={version.id === Math.min(...versions.map(({ id }) => id))}
              showReport={() => setReport(version.name)}
              askToSwitch={() => setChange({ kind: "switch", to: version })}
              stop={() => void stop()}
            />
          </li>
        ))}
        {pending(migrations, versions).map((migration) => (
          <li key={migration.started} class="card">
            <h2>A migration is being prepared</h2>
            <p class="soft">{migration.stage}</p>
          </li>
        ))}
      </ol>
      {versions.length === 1 && migrations.length === 0 && (
        <p class="empty">
          Another model or another chunking is built beside this version while it goes on answering:{" "}
          <code>gnomon migrate {collection} --to MODEL</code>
        </p>
      )}
      {change && live && (
        <ConfirmChange
          collection={collection}
          live={live}
          to={change.kind === "switch" ? change.to : null}
          showReport={setReport}
          close={() => setChange(null)}
          done={(said) => {
            setChange(null);
            setDone(said);
            found.reload();
          }}
        />
      )}
      {report && <GateReportDialog collection={collection} version={report} close={() => setReport(null)} />}
    </>
  );
}

/** Migrations that have no version yet. */
function pending(migrations: readonly Migration[], versions: readonly VersionInfo[]): Migration[] {
  return migrations.filter(({ running, version }) => running && !versions.some(({ name }) => name === version));
}

function Figures({ status }: { status: Status }) {
  const bytes = status.catalog_bytes + status.derived.reduce((sum, { bytes: each }) => sum + each, 0);
  const figures = [
    ["documents", count(status.documents)],
    ["passages", count(status.chunks)],
    ["tokens", count(status.tokens)],
    ["on disk", size(bytes)],
  ];
  return (
    <dl class="stats">
      {figures.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
