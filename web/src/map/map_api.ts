/** The addresses of the map. */
import { fetchJson, fetchResponse } from "../client/http";
import type { FieldType } from "../client/types";
import { type Column, type Header, unpack } from "./columns";

export type ProjectionName = "pca" | "umap";

export interface ProjectionState {
  name: ProjectionName;
  state: "ready" | "computing" | "missing" | "unavailable" | "failed";
  placed: number;
  is_updating: boolean;
  reason: string;
}

export interface Cluster {
  cluster: number;
  size: number;
  words: string[];
}

export interface MapState {
  version: string;
  seq: number;
  points: number;
  variance: number;
  projections: ProjectionState[];
  clusters: Cluster[];
  fields: { name: string; type: FieldType }[];
}

/** Points in order of id: x and y from 0 to 65,535 one after another, upwards; a cluster each. */
export interface Points {
  projection: ProjectionName;
  seq: number;
  left: number;
  bottom: number;
  scale: number;
  ids: Column;
  xy: Uint16Array;
  clusters: Uint8Array;
}

/** A value a point: codes of `categories` (255: none), or numbers, NaN for none. */
export interface ColourValues {
  kind: "category" | "number" | "date";
  seq: number;
  categories: string[];
  values: Column;
}

export interface PointText {
  id: number;
  document: string;
  title: string;
  snippet: string;
  start: number;
  end: number;
}

export interface Neighbour extends PointText {
  score: number;
  position: [number, number];
}

export interface PlacedQuery {
  position: [number, number];
  neighbours: Neighbour[];
}

const of = (collection: string, rest = "") => `v1/collections/${encodeURIComponent(collection)}/map${rest}`;

async function fetchBytes(path: string, signal?: AbortSignal): Promise<ArrayBuffer> {
  return (await fetchResponse(path, { signal, accept: "application/octet-stream" })).arrayBuffer();
}

export async function getMap(collection: string, signal?: AbortSignal): Promise<MapState> {
  return fetchJson<MapState>(of(collection), { signal });
}

interface PointsHeader extends Header {
  projection: ProjectionName;
  left: number;
  bottom: number;
  scale: number;
}

export async function getPoints(collection: string, projection: ProjectionName, signal?: AbortSignal): Promise<Points> {
  const data = await fetchBytes(of(collection, `/positions?projection=${projection}`), signal);
  const { header, columns } = unpack<PointsHeader>(data);
  const { ids, positions, clusters } = columns as { ids: Column; positions: Uint16Array; clusters: Uint8Array };
  const { seq, left, bottom, scale } = header;
  return { projection, seq, left, bottom, scale, ids, xy: positions, clusters };
}

interface ColourHeader extends Header {
  kind: ColourValues["kind"];
  categories: string[];
}

export async function getColours(collection: string, field: string, signal?: AbortSignal): Promise<ColourValues> {
  const data = await fetchBytes(of(collection, `/colours?field=${encodeURIComponent(field)}`), signal);
  const { header, columns } = unpack<ColourHeader>(data);
  const { values } = columns as { values: Column };
  return { kind: header.kind, seq: header.seq, categories: header.categories, values };
}

export async function getTexts(collection: string, ids: readonly number[], signal?: AbortSignal): Promise<PointText[]> {
  if (ids.length === 0) return [];
  return (await fetchJson<{ texts: PointText[] }>(of(collection, `/points?ids=${ids.join(",")}`), { signal })).texts;
}

export async function placeQuery(
  collection: string,
  query: string,
  projection: ProjectionName,
  signal?: AbortSignal,
): Promise<PlacedQuery> {
  return fetchJson<PlacedQuery>(of(collection, "/query"), { body: { query, projection, k: 10 }, signal });
}

/** Fit UMAP in the background, unless the server has it or cannot. */
export async function startUmap(collection: string): Promise<void> {
  await fetchJson(of(collection, "/umap"), { method: "POST" });
}
