/** The Search tab: a query, results as it is typed, filters, and two versions beside each other. */
import { useEffect, useRef, useState } from "preact/hooks";

import { type Address, go, readAddress, useAddress } from "../address";
import * as api from "../client/api";
import { useFetched } from "../client/fetched";
import { RequestFailed } from "../client/http";
import type { By, FeedbackKind, FieldInfo, Mode, SearchRequest, SearchResponse, VersionInfo } from "../client/types";
import type { TabProps } from "../tabs";
import { counted, duration } from "../ui/format";
import { Icon } from "../ui/icon";
import { Empty, Failed, Loading } from "../ui/notices";
import { FilterChips, FilterPanel } from "./filter_panel";
import { conditionOf } from "./filters";
import { HitItem } from "./hit_item";
import { SideBySide } from "./side_by_side";
import { SearchToolbar } from "./toolbar";
import { scoresOf } from "./why";

const TYPING_MS = 120;
const STEP = 10;
const MOST = 100;
const NO_FIELDS: readonly FieldInfo[] = [];
const NO_VERSIONS: readonly VersionInfo[] = [];

interface Found {
  results: SearchResponse;
  other: SearchResponse | null;
}

export function SearchTab({ collection, open }: TabProps) {
  const address = useAddress();
  const fields = useFetched(`fields ${collection}`, (signal) => api.listFields(collection, signal)).data;
  const versions = useFetched(`versions ${collection}`, (signal) => api.listVersions(collection, signal)).data;
  const hasFilters = Object.keys(address).some((name) => name.startsWith("f."));
  // A filter's condition depends on its field's type.
  const request = fields || !hasFilters ? requestOf(address, fields ?? NO_FIELDS) : null;
  const versus = address.vs ?? "";
  const found = useFetched<Found>(
    request && `${collection} ${versus} ${JSON.stringify(request)}`,
    async (signal) => {
      const asked = request as SearchRequest;
      const [results, other] = await Promise.all([
        api.search(collection, versus ? { ...asked, version: asked.version ?? liveOf(versions) } : asked, signal),
        versus ? api.search(collection, { ...asked, version: versus }, signal) : null,
      ]);
      return { results, other };
    },
  );
  const refused = Boolean(address.where) && found.error instanceof RequestFailed && found.error.status === 400;
  return (
    <>
      <h1 class="hidden-text">Search {collection}</h1>
      <QueryBox />
      <SearchToolbar address={address} versions={versions ?? NO_VERSIONS} />
      {fields && <FilterChips address={address} fields={fields} />}
      <div class="search-body" onKeyDown={moveThroughResults}>
        <FilterPanel address={address} fields={fields ?? NO_FIELDS} isRefused={refused} />
        <div>
          {found.error ? (
            <Failed error={found.error} retry={found.reload} />
          ) : found.data ? (
            <Results {...{ collection, address, open, versions }} found={found.data} busy={found.loading} />
          ) : found.loading || address.q ? (
            <Loading what="Searching" />
          ) : (
            <Start collection={collection} />
          )}
        </div>
      </div>
    </>
  );
}

/** The live version by its name: beside another one its results are not interleaved with any. */
function liveOf(versions: readonly VersionInfo[] | null): string | undefined {
  return versions?.find((version) => version.state === "live")?.name;
}

/** What is searched for; null before anything was typed. */
function requestOf(address: Address, fields: readonly FieldInfo[]): SearchRequest | null {
  const query = address.q?.trim();
  if (!query) return null;
  return {
    query,
    k: Math.min(MOST, Number(address.k) || STEP),
    mode: (address.mode as Mode | undefined) || undefined,
    by: (address.by as By | undefined) || undefined,
    where: conditionOf(address, fields),
    version: address.version || undefined,
  };
}

/** The query as it is typed; the address, and with it the results, follow after a moment. */
function QueryBox() {
  const { q = "" } = useAddress();
  const [typed, setTyped] = useState(q);
  const own = useRef<HTMLInputElement>(null);
  const sent = useRef(q);
  useEffect(() => {
    if (q !== sent.current) setTyped(q); // the back button, or a link
    sent.current = q;
  }, [q]);
  useEffect(() => {
    if (typed === sent.current) return undefined;
    const timer = setTimeout(() => send(typed), TYPING_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  useEffect(() => {
    if (!readAddress().doc && matchMedia("(hover: hover)").matches) own.current?.focus();
  }, []);
  const send = (query: string) => {
    const isNew = !sent.current || !query;
    sent.current = query;
    go({ q: query || null, k: null }, { replace: !isNew });
  };
  const press = (event: KeyboardEvent) => {
    if (event.key === "Enter") {
      send(typed);
      history.pushState(null, "", location.href); // what was searched for on purpose, the back button comes back to
    } else if (event.key === "ArrowDown") {
      event.preventDefault();
      document.querySelector<HTMLElement>("[data-hit]")?.focus();
    } else if (event.key === "Escape" && typed && !readAddress().doc) {
      event.preventDefault();
      setTyped("");
    }
  };
  return (
    <form class="query" role="search" onSubmit={(event) => event.preventDefault()}>
      <Icon name="search" />
      <input
        ref={own}
        data-query
        class="query-input"
        type="search"
        aria-label="Query"
        placeholder="Search by meaning and by words"
        autocomplete="off"
        spellcheck={false}
        enterkeyhint="search"
        maxLength={10000}
        value={typed}
        onInput={(event) => setTyped(event.currentTarget.value)}
        onKeyDown={press}
      />
      <kbd aria-hidden="true">/</kbd>
    </form>
  );
}

/** Arrow keys go through the titles of the results, and from the first one up to the query. */
function moveThroughResults(event: KeyboardEvent): void {
  const from = event.target as HTMLElement;
  if (!from.matches("[data-hit]")) return;
  const all = [...document.querySelectorAll<HTMLElement>("[data-hit]")];
  const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
  if (event.key === "Home" || event.key === "End") {
    event.preventDefault();
    all[event.key === "Home" ? 0 : all.length - 1]?.focus();
  } else if (event.key === "Escape" && !readAddress().doc) {
    event.preventDefault();
    document.querySelector<HTMLElement>("[data-query]")?.focus();
  } else if (step !== 0) {
    event.preventDefault();
    const to = all.indexOf(from) + step;
    (to < 0 ? document.querySelector<HTMLElement>("[data-query]") : all[to])?.focus();
  }
}

interface ResultsProps {
  collection: string;
  found: Found;
  address: Address;
  busy: boolean;
  open: TabProps["open"];
  versions: readonly VersionInfo[] | null;
}

/** What tells this visit's feedback from another's: it names nobody, and is gone with the page. */
const SESSION = Math.random().toString(36).slice(2);

function Results({ collection, found, address, busy, open, versions }: ResultsProps) {
  const { results, other } = found;
  const { hits } = results;
  const explains = Boolean(address.why);
  if (other && address.vs) {
    const live = liveOf(versions) ?? results.version;
    return (
      <SideBySide
        left={results}
        right={other}
        names={[address.version || live, address.vs]}
        by={(address.by as By | undefined) ?? "chunk"}
        open={open}
        openId={address.doc ?? ""}
        explains={explains}
        busy={busy}
      />
    );
  }
  if (hits.length === 0) return <Nothing address={address} />;
  const scores = scoresOf(hits);
  const k = Math.min(MOST, Number(address.k) || STEP);
  const { id } = results;
  const feedback = (document: string, position: number) =>
    id === null
      ? undefined
      : (kind: FeedbackKind) => api.sendFeedback(collection, { id, document, kind, position, session: SESSION });
  return (
    <>
      <p class="results-head" role="status">
        {counted(hits.length, "result")} in {duration(results.seconds)}
        {busy && <span class="hidden-text">, searching again</span>}
      </p>
      <ol class="results" aria-busy={busy}>
        {hits.map((hit, at) => (
          <li key={`${hit.document}:${hit.start}`}>
            <HitItem
              hit={hit}
              rank={at + 1}
              scores={scores}
              open={open}
              isOpen={address.doc === hit.document && address.at === `${hit.start}-${hit.end}`}
              explains={explains}
              feedback={feedback(hit.document, at + 1)}
            />
          </li>
        ))}
      </ol>
      {hits.length >= k && k < MOST && (
        <p class="more">
          <button
            type="button"
            class="button"
            onClick={() => go({ k: String(Math.min(MOST, k + 2 * STEP)) }, { replace: true })}
          >
            More results
          </button>
        </p>
      )}
    </>
  );
}

function Nothing({ address }: { address: Address }) {
  const narrowed = address.where || Object.keys(address).some((name) => name.startsWith("f."));
  return (
    <Empty title="Nothing found">
      <p>
        {narrowed
          ? "No document that meets the filters has anything like it."
          : address.mode === "lexical"
            ? "No document has these words. A search by meaning finds other words for the same."
            : "This collection has nothing like it."}
      </p>
    </Empty>
  );
}

function Start({ collection }: { collection: string }) {
  const status = useFetched(`status ${collection}`, (signal) => api.getStatus(collection, signal)).data;
  if (!status) return null;
  if (status.documents === 0) {
    return (
      <Empty title="This collection is empty">
        <p>
          Put documents into it: <code>gnomon index FOLDER --into {collection}</code>
        </p>
      </Empty>
    );
  }
  return (
    <Empty title={`${counted(status.documents, "document")}, ${counted(status.chunks, "passage")}`}>
      <p>
        Type a question, or words. Results come as you type; <kbd>↓</kbd> goes to them, <kbd>Enter</kbd> opens one at its
        passage, <kbd>?</kbd> lists all keys.
      </p>
    </Empty>
  );
}
