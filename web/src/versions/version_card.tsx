/** One version: what it is made of, how far it is, and what can be done with it. */
import type { Migration, VersionInfo } from "../client/types";
import { GATE_STYLES } from "./gate_outcomes";
import { count, counted, duration, percent, plain, time } from "../ui/format";

const BADGES: Record<string, string> = {
  live: "badge badge-good",
  building: "badge badge-warn",
  ready: "badge",
  retired: "badge",
};

interface CardProps {
  version: VersionInfo;
  migration: Migration | undefined;
  /** Whether a gate may have judged it: the first version of a collection has nothing to be compared with. */
  isFirst: boolean;
  showReport: () => void;
  askToSwitch: () => void;
  stop: () => void;
}

export function VersionCard({ version, migration, isFirst, showReport, askToSwitch, stop }: CardProps) {
  const hasReport = migration ? migration.report !== null : !isFirst && version.state !== "building";
  return (
    <article class={version.state === "live" ? "card version is-live" : "card version"}>
      <div>
        <div class="version-title">
          <h2>{version.name}</h2>
          <span class={BADGES[version.state] ?? "badge"}>{version.state}</span>
          {version.behind > 0 && version.state !== "live" && !migration?.running && (
            <span class="small soft">{counted(version.behind, "document")} behind</span>
          )}
        </div>
        <dl class="facts">
          <dt>model</dt>
          <dd>
            <span title={version.model}>{modelName(version.model)}</span>{" "}
            <span class="mono soft" title={`The space: ${version.space}`}>
              {version.fingerprint.slice(0, 12)}
            </span>
          </dd>
          <dt>passages</dt>
          <dd>{settings(version.chunking)}</dd>
          <dt>search</dt>
          <dd>{settings(version.retrieval)}</dd>
          <dt>{version.live_since ? "live since" : "made"}</dt>
          <dd>{time(version.live_since ?? version.created)}</dd>
        </dl>
      </div>
      <div class="version-actions">
        {version.state === "ready" && (
          <button type="button" class="button button-main" onClick={askToSwitch}>
            Switch to {version.name}…
          </button>
        )}
        {hasReport && (
          <button type="button" class="button" onClick={showReport}>
            Gate report
          </button>
        )}
        {migration?.running && (
          <button type="button" class="button" title="What it has embedded is kept" onClick={stop}>
            Stop the build
          </button>
        )}
      </div>
      {migration && <MigrationState migration={migration} />}
    </article>
  );
}

/** A model's name; of a folder its last part. */
export function modelName(model: string): string {
  return model.replace(/[/\\]+$/, "").split(/[/\\]/).at(-1) || model;
}

/** Settings in a line; those within a setting follow it. */
function settings(values: Record<string, unknown>): string {
  return Object.entries(values)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => {
      if (value === true) return words(name);
      if (value === false) return `no ${words(name)}`;
      if (name === "mode" || name === "fusion") return plain(value);
      const isGroup = typeof value === "object" && !Array.isArray(value);
      return `${words(name)} ${isGroup ? settings(value as Record<string, unknown>).replaceAll(", ", " ") : plain(value)}`;
    })
    .join(", ");
}

function words(name: string): string {
  return name.replaceAll("_", " ");
}

const STAGES: Record<string, string> = {
  checking: "Checking what it takes",
  fitting: "Fitting the adapter",
  building: "Embedding passages",
  indexing: "Building the indexes",
  judging: "The gate: searching with both versions",
  switching: "Switching",
};

function MigrationState({ migration }: { migration: Migration }) {
  if (!migration.running) {
    if (!migration.outcome || migration.outcome === "switched") return null;
    const style = migration.outcome === "ready" ? "badge badge-good" : "badge badge-warn";
    return (
      <p class="version-wide small soft">
        {migration.gate ? (
          <span class={GATE_STYLES[migration.gate] ?? "badge"}>gate: {migration.gate}</span>
        ) : (
          <span class={style}>{migration.outcome}</span>
        )}{" "}
        {migration.why}
      </p>
    );
  }
  const share = shareOf(migration);
  return (
    <div class="progress version-wide">
      <div class="progress-line">
        <strong>{STAGES[migration.stage] ?? migration.stage}</strong>
        <span class="soft">{figures(migration)}</span>
      </div>
      <div
        class="bar"
        role="progressbar"
        aria-label={STAGES[migration.stage] ?? migration.stage}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={share === null ? undefined : Math.round(100 * share)}
      >
        <span style={{ width: `${100 * (share ?? 0)}%` }} />
      </div>
    </div>
  );
}

function shareOf(migration: Migration): number | null {
  if (migration.stage === "building" && migration.tokens > 0) return migration.tokens_done / migration.tokens;
  if (migration.stage === "judging" && migration.queries > 0) return migration.queries_done / migration.queries;
  return null;
}

function figures(migration: Migration): string {
  const share = shareOf(migration);
  if (share === null) return "";
  if (migration.stage === "judging") return `${count(migration.queries_done)} of ${counted(migration.queries, "query", "queries")}`;
  const parts = [percent(share), `${count(migration.texts_done)} of ${counted(migration.texts, "passage")}`];
  if (migration.rate) parts.push(`${count(Math.round(migration.rate))} tokens/s`);
  if (migration.left_s != null) parts.push(`about ${duration(migration.left_s)} left`);
  if (migration.cost) parts.push(`$${migration.cost_done.toFixed(2)} of about $${migration.cost.toFixed(2)}`);
  return parts.join(", ");
}
