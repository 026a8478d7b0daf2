/** The Map tab: a picture of the collection. Loaded when the tab is first opened. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { useAddress } from "../address";
import { useFetched } from "../client/fetched";
import type { TabProps } from "../tabs";
import { count } from "../ui/format";
import { Empty, Failed, Loading } from "../ui/notices";
import { byCluster, byField, type Colouring, middles, paletteOf } from "./colouring";
import { useDark } from "./dark";
import { Legend } from "./legend";
import { Listed } from "./listed";
import * as api from "./map_api";
import { type Label, MapCanvas, type Marked } from "./map_canvas";
import { useTexts } from "./texts";
import { Toolbar } from "./toolbar";

const FOLLOW_MS = 3000;
const NOTHING: ReadonlySet<number> = new Set();

export default function MapTab({ collection, open }: TabProps) {
  const address = useAddress();
  const [follows, setFollows] = useState(false);
  const state = useFetched(`map ${collection}`, (signal) => api.getMap(collection, signal), follows ? FOLLOW_MS : null);
  const umap = state.data?.projections.find(({ name }) => name === "umap");
  const started = useRef(false);
  useEffect(() => {
    setFollows(umap?.state === "computing" || umap?.state === "missing" || umap?.is_updating === true);
    if (umap?.state !== "missing" || started.current) return;
    started.current = true;
    api.startUmap(collection).then(state.reload, () => undefined);
  }, [umap?.state, umap?.is_updating]);
  // What was ready when the map was opened: the picture does not change under the reader's eyes.
  const first = useRef<api.ProjectionName | null>(null);
  if (umap) first.current ??= umap.state === "ready" ? "umap" : "pca";
  const wanted = address.projection === "pca" || address.projection === "umap" ? address.projection : first.current;
  const projection = wanted === "umap" && umap?.state !== "ready" ? "pca" : (wanted ?? "pca");
  const points = useFetched(
    state.data && `points ${collection} ${projection} ${state.data.version} ${state.data.seq} ${umap?.placed}`,
    (signal) => api.getPoints(collection, projection, signal),
  );
  return (
    <div class="map">
      <h1 class="hidden-text">Map of {collection}</h1>
      {state.error ? (
        <Failed error={state.error} retry={state.reload} />
      ) : points.error ? (
        <Failed error={points.error} retry={points.reload} />
      ) : !state.data || !points.data ? (
        <Loading what="Drawing the map" />
      ) : state.data.points === 0 ? (
        <Empty title="There is nothing to draw yet">
          <p>The map shows the passages of the collection, and it has none.</p>
        </Empty>
      ) : (
        <Picture
          collection={collection}
          open={open}
          state={state.data}
          points={points.data}
          query={address.q?.trim() ?? ""}
          colour={state.data.fields.some(({ name }) => name === address.colour) ? (address.colour ?? "") : ""}
          reload={state.reload}
        />
      )}
    </div>
  );
}

interface PictureProps extends TabProps {
  state: api.MapState;
  points: api.Points;
  query: string;
  colour: string;
  reload: () => void;
}

interface Chosen {
  title: string;
  places: readonly number[];
}

function Picture({ collection, open, state, points, query, colour, reload }: PictureProps) {
  const dark = useDark();
  const [hidden, setHidden] = useState(NOTHING);
  const [chosen, setChosen] = useState<Chosen | null>(null);
  const [lassoing, setLassoing] = useState(false);
  const [shown, setShown] = useState<number | null>(null);
  const [focus, setFocus] = useState<readonly [number, number] | null>(null);
  const [hovered, setHovered] = useState<{ place: number; at: readonly [number, number] } | null>(null);

  const values = useFetched(colour ? `colours ${collection} ${colour} ${points.seq}` : null, (signal) =>
    api.getColours(collection, colour, signal),
  );
  const isStale = values.data !== null && values.data.seq !== points.seq;
  useEffect(() => {
    if (isStale) reload();
  }, [isStale]);
  const colouring = useMemo<Colouring>(
    () => (colour && values.data && !isStale ? byField(values.data, dark) : byCluster(points, state.clusters, dark)),
    [colour, values.data, isStale, points, state.clusters, dark],
  );
  useEffect(() => setHidden(NOTHING), [colour]);
  useEffect(() => setChosen(null), [points.seq, query]);
  const palette = useMemo(() => paletteOf(colouring, hidden), [colouring, hidden]);
  const isByCluster = colouring.codes === points.clusters;
  const labels = useMemo(() => labelsOf(points, state.clusters, isByCluster ? hidden : NOTHING), [points, state.clusters, hidden, isByCluster]);

  const placed = useFetched(query ? `query ${collection} ${points.projection} ${points.seq} ${query}` : null, (signal) =>
    api.placeQuery(collection, query, points.projection, signal),
  );
  const marked = useMemo(() => markedOf(placed.data, points), [placed.data, points]);
  useEffect(() => setFocus(marked ? marked.at : null), [marked]);
  const neighbours = placed.data?.neighbours ?? [];
  const listed = chosen ?? (query && placed.data ? { title: `Nearest to “${query}”`, places: placesOf(points, neighbours.map(({ id }) => id)) } : null);
  const flags = useMemo(() => flagsOf(points, listed?.places ?? null, shown), [points, chosen, placed.data, query, shown]);
  const texts = useTexts(collection, hovered ? [points.ids[hovered.place]!] : []);
  const scores = useMemo(() => new Map(neighbours.map(({ id, score }) => [id, score.toFixed(3)])), [placed.data]);

  const pick = (place: number) => {
    const id = points.ids[place]!;
    api.getTexts(collection, [id]).then(([text]) => text && open(text), () => undefined);
  };
  const list = (code: number, name: string) => {
    const places: number[] = [];
    colouring.codes.forEach((each, i) => each === code && places.push(i));
    setChosen({ title: name, places });
  };
  return (
    <>
      <Toolbar
        state={state}
        query={query}
        projection={points.projection}
        colour={colour}
        lassoing={lassoing}
        setLassoing={setLassoing}
      />
      {placed.error ? <Failed error={placed.error} retry={placed.reload} /> : null}
      {values.error ? <Failed error={values.error} retry={values.reload} /> : null}
      <div class="map-body">
        <div class="map-frame">
          <MapCanvas
            xy={points.xy}
            codes={colouring.codes}
            palette={palette}
            chosen={flags}
            labels={labels}
            marked={marked}
            lassoing={lassoing}
            description={`${count(state.points)} passages of ${collection}, version ${state.version}.`}
            focus={focus}
            hover={(place, at) => setHovered(place === null ? null : { place, at })}
            pick={pick}
            select={(places) => setChosen({ title: "In the lasso", places })}
          />
          {hovered && <Tip at={hovered.at} text={texts.get(points.ids[hovered.place]!)} />}
        </div>
        <aside class="map-side">
          {listed && (
            <Listed
              key={`${listed.title} ${listed.places.length}`}
              collection={collection}
              title={listed.title}
              ids={listed.places.map((place) => points.ids[place]!)}
              notes={chosen ? undefined : scores}
              open={open}
              show={(id) => setShown(placesOf(points, [id])[0] ?? null)}
              close={() => {
                setChosen(chosen && query ? null : { title: "", places: [] });
                setShown(null);
              }}
            />
          )}
          <Legend
            title={isByCluster ? "Clusters" : colour}
            colouring={colouring}
            hidden={hidden}
            toggle={(code) => setHidden(toggled(hidden, code))}
            showAll={() => setHidden(NOTHING)}
            list={list}
            dark={dark}
          />
        </aside>
      </div>
    </>
  );
}

function Tip({ at: [x, y], text }: { at: readonly [number, number]; text: api.PointText | undefined }) {
  return (
    <div class="map-tip" role="status" style={{ left: `${x}px`, top: `${y}px` }}>
      <strong>{text ? text.title || text.document : "…"}</strong>
      {text && <p>{text.snippet}</p>}
    </div>
  );
}

function toggled(codes: ReadonlySet<number>, code: number): ReadonlySet<number> {
  const found = new Set(codes);
  if (!found.delete(code)) found.add(code);
  return found;
}

function labelsOf(points: api.Points, clusters: readonly api.Cluster[], hidden: ReadonlySet<number>): Label[] {
  const at = middles(points);
  return clusters.flatMap(({ cluster, words }) => {
    const [x, y] = at.get(cluster) ?? [];
    const text = words.slice(0, 3).join(", ");
    return x === undefined || y === undefined || !text || hidden.has(cluster) ? [] : [{ text, x, y }];
  });
}

function markedOf(placed: api.PlacedQuery | null, { left, bottom, scale }: api.Points): Marked | null {
  if (!placed) return null;
  const inPicture = ([x, y]: readonly [number, number]) => [(x - left) / scale / 65_535, (y - bottom) / scale / 65_535] as const;
  return { at: inPicture(placed.position), to: placed.neighbours.map(({ position }) => inPicture(position)) };
}

/** The places of ids, which rise. */
function placesOf({ ids }: api.Points, wanted: readonly number[]): number[] {
  return wanted.flatMap((id) => {
    let [low, high] = [0, ids.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ids[middle]! < id) low = middle + 1;
      else high = middle;
    }
    return ids[low] === id ? [low] : [];
  });
}

/** 1 for the points that stand out; null where none is chosen. */
function flagsOf({ ids }: api.Points, places: readonly number[] | null, shown: number | null): Uint8Array | null {
  const chosen = shown === null ? places : [shown];
  if (!chosen || chosen.length === 0) return null;
  const flags = new Uint8Array(ids.length);
  for (const place of chosen) flags[place] = 1;
  return flags;
}
