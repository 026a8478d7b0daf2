/** What the server answers; names and meanings are those of its API documentation. */

export interface CollectionSummary {
  name: string;
  documents: number;
  version: string;
  model: string;
  space: string;
}

export interface FieldValue {
  value: string | number | boolean;
  documents: number;
}

export type FieldType = "text" | "number" | "boolean" | "date";

export interface FieldInfo {
  name: string;
  type: FieldType;
  documents: number;
  /** How many different values it has, of which `values` are the most frequent. */
  distinct: number;
  values: FieldValue[];
  lowest: number | string | null;
  highest: number | string | null;
}

export interface Location {
  unit: string;
  first: number;
  last: number;
}

export interface Hit {
  score: number;
  document: string;
  chunk: number;
  title: string;
  heading: string[];
  source: string;
  start: number;
  end: number;
  text: string;
  snippet: string;
  highlights: [number, number][];
  /** Each stage's own score. */
  stages: Record<string, number | null>;
  /** What each stage adds to the score; empty where the score is no such sum. */
  shares: Record<string, number | null>;
  metadata: Record<string, unknown>;
  more: number;
  copies: string[];
  location: Location | null;
}

export type Mode = "hybrid" | "dense" | "lexical" | "sparse";
export type By = "chunk" | "document";

export interface SearchRequest {
  query: string;
  k: number;
  mode?: Mode;
  by?: By;
  where?: string;
  version?: string;
}

export interface SearchResponse {
  /** What feedback names the search by; null where the server keeps no query log. */
  id: string | null;
  hits: Hit[];
  version: string;
  seconds: number;
}

export type FeedbackKind = "click" | "up" | "down";

export interface Feedback {
  id: string;
  document: string;
  kind: FeedbackKind;
  position: number;
  session: string;
}

export interface DocumentText {
  id: string;
  text: string;
  title: string;
  source: string;
  metadata: Record<string, unknown>;
}

export interface Citation {
  passage: number;
  document: string;
  start: number;
  end: number;
  quote: string;
  support: number;
  location: Location | null;
}

export interface Sentence {
  text: string;
  start: number;
  end: number;
  citations: Citation[];
  support: number;
  supported: boolean;
}

export interface Passage {
  number: number;
  document: string;
  text: string;
  start: number;
  end: number;
  score: number;
  title: string;
  heading: string[];
  source: string;
  row: boolean;
  location: Location | null;
}

export interface Failure {
  stage: string;
  kind: string;
  message: string;
  expected: string;
  hint: string;
}

export interface Answer {
  question: string;
  standalone: string;
  outcome: "answered" | "possible" | "not in these documents" | "failed";
  kind: "extractive" | "generated";
  text: string;
  sentences: Sentence[];
  passages: Passage[];
  confidence: number;
  threshold: number;
  answer_threshold: number;
  model: string | null;
  dropped: Sentence[];
  failures: Failure[];
  seconds: Record<string, number>;
}

export interface VersionInfo {
  id: number;
  name: string;
  state: "building" | "ready" | "live" | "retired";
  model: string;
  space: string;
  fingerprint: string;
  chunking: Record<string, unknown>;
  retrieval: Record<string, unknown>;
  created: string;
  behind: number;
  live_since: string | null;
}

export interface DerivedStatus {
  name: string;
  kind: string;
  rows: number;
  bytes: number;
  state: string;
}

export interface Status {
  model: string;
  version: string;
  retrieval: Record<string, unknown>;
  documents: number;
  chunks: number;
  tokens: number;
  vectors: number;
  catalog_bytes: number;
  documents_without_passages: number;
  languages: Record<string, number>;
  derived: DerivedStatus[];
}

export interface Migration {
  version: string | null;
  live: string;
  model: string | null;
  stage: string;
  outcome: string | null;
  why: string;
  started: string;
  running: boolean;
  texts: number;
  texts_done: number;
  tokens: number;
  tokens_done: number;
  queries: number;
  queries_done: number;
  rate: number;
  left_s: number | null;
  cost: number | null;
  cost_done: number;
  gate: string | null;
  report: string | null;
  order: string;
}

export interface Verdict {
  outcome: string;
  baseline: string;
  candidate: string;
  metric: string;
  mean_baseline: number;
  mean_candidate: number;
  difference: number;
  interval: [number, number];
  p_value: number;
  n: number;
  wins: number;
  ties: number;
  losses: number;
  margin: number;
  notes: string[];
  changed: { query: string; baseline: number; candidate: number }[];
}

export interface Segment {
  name: string;
  n: number;
  mean_baseline: number;
  mean_candidate: number;
  difference: number;
  interval: [number, number] | null;
  outcome: string | null;
  is_worse: boolean;
}

export interface GateReport {
  version: string;
  baseline: string;
  outcome: string;
  explained: string;
  queries: number;
  verdict: Verdict | null;
  segments: Segment[];
  recall: Record<string, [number, number]>;
  latency: { n: number; p50_s: number; p95_s: number }[];
  size: { total: number; chunks: number }[];
  alarms: { kind: string; found: number; expected: number }[];
  texts: Record<string, string>;
  at: string;
}

export interface SwitchReport {
  came_from: string;
  to: string;
  seconds: number;
}

export interface Check {
  name: string;
  state: string;
  message: string;
  p_value: number | null;
  adjusted: number | null;
  cause: string | null;
  hint: string;
  figures: Record<string, unknown>;
  examples: string[];
}

export interface Alarm {
  cause: string;
  checks: string[];
  message: string;
  hint: string;
}

/** One monitoring run, as the history keeps it. */
export interface MonitorRun {
  at: string;
  version: string;
  baseline: string | null;
  causes?: string[];
  states?: Record<string, string>;
  golden?: { mean: number; base: number; sum: number } | null;
  latency?: { p50: number; p95: number } | null;
  p?: Record<string, number> | null;
}

export interface MonitorReport {
  at: string;
  version: string;
  model: string;
  baseline: string | null;
  checks: Check[];
  alarms: Alarm[];
  false_alarms: number;
  healthy: boolean;
  notes: string[];
}

export interface Health {
  report: MonitorReport | null;
  history: MonitorRun[];
  golden_limit?: number | null;
}

export interface PassageToJudge {
  id: string;
  query: string;
  document: string;
  text: string;
  title: string;
  source: string;
  highlights: [number, number][];
  judged: number;
  pool: number;
  needed: number | null;
  /** The highest grade. */
  grades: number;
}

export interface SystemVerdict {
  baseline: string;
  candidate: string;
  outcome: string;
  difference: number;
  interval: [number, number];
  needed: number | null;
  /** That of the same judgments without the language model's grades; null where none was asked. */
  people_interval: [number, number] | null;
}

export interface JudgingReport {
  metric: string;
  baseline: string;
  verdicts: SystemVerdict[];
  queries: number;
  pool: number;
  judged: number;
  relevant: number;
  skipped: number;
  needed: number | null;
  annotators: Record<string, number>;
  notes: string[];
  decided: boolean;
  /** The language model whose grades predict what is not judged. */
  model: string | null;
}

export interface JudgingState {
  session: string;
  annotator: string;
  task: PassageToJudge | null;
  report: JudgingReport;
}
