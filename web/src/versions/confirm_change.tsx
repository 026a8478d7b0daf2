/** Asks before a version is switched to or rolled back from, and says what will happen. */
import { useState } from "preact/hooks";

import * as api from "../client/api";
import { useFetched } from "../client/fetched";
import type { VersionInfo } from "../client/types";
import { Dialog } from "../ui/dialog";
import { duration } from "../ui/format";
import { Icon } from "../ui/icon";
import { Failed } from "../ui/notices";
import { GATE_STYLES } from "./gate_outcomes";
import { modelName } from "./version_card";

interface ConfirmProps {
  collection: string;
  live: VersionInfo;
  /** The version to switch to; null for a rollback, of which the server knows the target. */
  to: VersionInfo | null;
  showReport: (version: string) => void;
  close: () => void;
  done: (said: string) => void;
}

export function ConfirmChange({ collection, live, to, showReport, close, done }: ConfirmProps) {
  const [running, setRunning] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const act = async () => {
    setRunning(true);
    setError(null);
    try {
      const report = await (to ? api.switchTo(collection, to.name) : api.rollback(collection));
      done(`${report.to} answers now, in the place of ${report.came_from}. It took ${duration(report.seconds)}.`);
    } catch (failed) {
      setError(failed);
      setRunning(false);
    }
  };
  return (
    <Dialog title={to ? `Switch to ${to.name}?` : "Roll back?"} close={close}>
      <div class="from-to">
        <VersionName version={live} says="answers now" />
        <Icon name="arrow" />
        {to ? (
          <VersionName version={to} says="will answer" />
        ) : (
          <div class="card">
            <strong>the version before</strong>
            <div class="small soft">will answer</div>
          </div>
        )}
      </div>
      {to && <GateSaid collection={collection} version={to.name} showReport={showReport} />}
      <ul class="what-happens">
        <li>Every search from then on is answered by {to ? to.name : "the version that was live before"}.</li>
        <li>What is running is finished by {live.name}; nobody waits.</li>
        {to && to.fingerprint !== live.fingerprint && (
          <li>Vectors are of another space: a program that demands the present one is refused (409).</li>
        )}
        <li>{live.name} stays, with its vectors and indexes, and can be switched back to.</li>
      </ul>
      {error ? <Failed error={error} /> : null}
      <div class="dialog-actions">
        <button type="button" class="button" autofocus onClick={close}>
          Cancel
        </button>
        <button type="button" class="button button-main" disabled={running} onClick={() => void act()}>
          {running ? "Working…" : to ? `Switch to ${to.name}` : "Roll back"}
        </button>
      </div>
    </Dialog>
  );
}

function VersionName({ version, says }: { version: VersionInfo; says: string }) {
  return (
    <div class="card">
      <strong>{version.name}</strong> <span class="small">{modelName(version.model)}</span>
      <div class="small soft">{says}</div>
    </div>
  );
}

interface GateProps {
  collection: string;
  version: string;
  showReport: (version: string) => void;
}

function GateSaid({ collection, version, showReport }: GateProps) {
  const { data, loading } = useFetched(`gate ${collection} ${version}`, (signal) =>
    api.getGateReport(collection, version, signal),
  );
  if (loading) return null;
  if (!data) {
    return <p class="notice notice-warn">No gate has compared this version with the live one.</p>;
  }
  const passed = data.outcome === "better" || data.outcome === "not worse";
  return (
    <div class={passed ? "notice" : "notice notice-warn"}>
      <span class={GATE_STYLES[data.outcome] ?? "badge"}>{data.outcome}</span> {data.explained}{" "}
      <button type="button" class="link-button" onClick={() => showReport(version)}>
        Gate report
      </button>
    </div>
  );
}
