/** The addresses of the API, each as a function. */
import { fetchEvents, type ServerEvent } from "./events";
import { fetchJson, fetchResponse, RequestFailed } from "./http";
import type {
  By,
  CollectionSummary,
  DocumentText,
  Feedback,
  FieldInfo,
  GateReport,
  Health,
  JudgingState,
  Migration,
  Mode,
  SearchRequest,
  SearchResponse,
  Status,
  SwitchReport,
  VersionInfo,
} from "./types";

const of = (collection: string, rest: string) => `v1/collections/${encodeURIComponent(collection)}/${rest}`;

export async function listCollections(signal?: AbortSignal): Promise<CollectionSummary[]> {
  return (await fetchJson<{ collections: CollectionSummary[] }>("v1/collections", { signal })).collections;
}

export async function search(
  collection: string,
  request: SearchRequest & { mode?: Mode; by?: By },
  signal?: AbortSignal,
): Promise<SearchResponse> {
  return fetchJson<SearchResponse>(of(collection, "search"), { body: { ...request, explain: true }, signal });
}

/** Say what was clicked, or what a user says of a result. A search is no worse for feedback that does not arrive. */
export function sendFeedback(collection: string, feedback: Feedback): void {
  fetchResponse(of(collection, "feedback"), { body: feedback }).catch(() => undefined);
}

export async function listFields(collection: string, signal?: AbortSignal): Promise<FieldInfo[]> {
  return (await fetchJson<{ fields: FieldInfo[] }>(of(collection, "fields"), { signal })).fields;
}

/** A document's id may hold slashes; those stay in the address. */
export async function getDocument(collection: string, id: string, signal?: AbortSignal): Promise<DocumentText> {
  const inAddress = id.split("/").map(encodeURIComponent).join("/");
  return fetchJson<DocumentText>(of(collection, `documents/${inAddress}`), { signal });
}

export function streamAnswer(
  collection: string,
  question: string,
  history: readonly { question: string; answer: string }[],
  signal: AbortSignal,
): AsyncGenerator<ServerEvent> {
  return fetchEvents(of(collection, "answers"), { body: { question, history, stream: true }, signal });
}

export async function getStatus(collection: string, signal?: AbortSignal): Promise<Status> {
  return fetchJson<Status>(of(collection, "status"), { signal });
}

export async function listVersions(collection: string, signal?: AbortSignal): Promise<VersionInfo[]> {
  return (await fetchJson<{ versions: VersionInfo[] }>(of(collection, "versions"), { signal })).versions;
}

export async function listMigrations(collection: string, signal?: AbortSignal): Promise<Migration[]> {
  return (await fetchJson<{ migrations: Migration[] }>(of(collection, "migrations"), { signal })).migrations;
}

/** Ask the running migration to stop; what it has embedded is kept. */
export async function stopMigration(collection: string): Promise<void> {
  await fetchResponse(of(collection, "migrations/current"), { method: "DELETE" });
}

export async function getGateReport(collection: string, version: string, signal?: AbortSignal): Promise<GateReport> {
  return fetchJson<GateReport>(of(collection, `versions/${encodeURIComponent(version)}/report`), { signal });
}

export async function switchTo(collection: string, version: string): Promise<SwitchReport> {
  return fetchJson<SwitchReport>(of(collection, "switch"), { body: { version } });
}

export async function rollback(collection: string): Promise<SwitchReport> {
  return fetchJson<SwitchReport>(of(collection, "rollback"), { method: "POST", body: {} });
}

/** Check the collection now. */
export async function runMonitor(collection: string): Promise<void> {
  await fetchJson<unknown>(of(collection, "monitor"), { body: {} });
}

export async function getHealth(collection: string, signal?: AbortSignal): Promise<Health> {
  return fetchJson<Health>(of(collection, "health"), { signal });
}

/** Where judging stands, with this annotator's next passage; null where none was begun. */
export async function getJudging(collection: string, annotator: string, signal?: AbortSignal): Promise<JudgingState | null> {
  const query = new URLSearchParams({ annotator });
  try {
    return await fetchJson<JudgingState>(of(collection, `judging?${query}`), { signal });
  } catch (error) {
    if (error instanceof RequestFailed && error.status === 404) return null;
    throw error;
  }
}

export async function beginJudging(
  collection: string,
  wanted: { queries: readonly string[]; annotator: string; grades: number },
): Promise<JudgingState> {
  return fetchJson<JudgingState>(of(collection, "judging"), { body: wanted });
}

/** Keep a grade; null: it cannot be told. */
export async function judgePassage(
  collection: string,
  answer: { task: string; grade: number | null; annotator: string },
): Promise<JudgingState> {
  return fetchJson<JudgingState>(of(collection, "judging/answers"), { body: answer });
}

export async function undoJudgment(collection: string, annotator: string): Promise<JudgingState> {
  return fetchJson<JudgingState>(of(collection, "judging/undo"), { body: { annotator } });
}
