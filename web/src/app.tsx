/** The page: its head, the present tab, and a document beside it. */
import { useEffect, useState } from "preact/hooks";

import { AskTab } from "./ask/ask_tab";
import { go, hrefOf, readAddress, useAddress } from "./address";
import { listCollections } from "./client/api";
import { useFetched } from "./client/fetched";
import { DocumentPanel } from "./document/document_panel";
import { HealthTab } from "./health/health_tab";
import { JudgeTab } from "./judge/judge_tab";
import { SearchTab } from "./search/search_tab";
import { Head } from "./shell/head";
import { KeyPrompt } from "./shell/key_prompt";
import { KeysHelp } from "./shell/keys_help";
import { focusQuery, useShortcuts } from "./shell/shortcuts";
import { type Place, TABS, type TabName, type TabProps } from "./tabs";
import { Lazy } from "./ui/lazy";
import { Empty, Failed, Loading } from "./ui/notices";
import { VersionsTab } from "./versions/versions_tab";

const loadMap = async () => (await import("./map/index")).default;

function open(place: Place): void {
  go({ doc: place.document, at: place.start === undefined ? null : `${place.start}-${place.end ?? place.start}` });
}

/** Closes the document; the focus goes back to what opened it, where that is still there. */
function closeDocument(): void {
  const { doc } = readAddress();
  go({ doc: null, at: null });
  requestAnimationFrame(() => {
    const opened = document.querySelector<HTMLElement>(`[data-opens="${CSS.escape(doc ?? "")}"]`);
    if (document.activeElement === document.body || document.activeElement === null) opened?.focus();
  });
}

export function App() {
  const address = useAddress();
  const [showsKeys, setShowsKeys] = useState(false);
  const served = useFetched("collections", listCollections);
  const collections = served.data ?? [];
  const tab = TABS.find((name) => name === address.tab) ?? "search";
  const collection = address.c ?? collections[0]?.name ?? "";
  const hasDocument = Boolean(address.doc && collection);

  useShortcuts((key, typing) => {
    if (key === "Escape" && hasDocument) closeDocument();
    else if (typing) return false;
    else if (key === "/") {
      if (!focusQuery()) {
        go({ tab: null });
        requestAnimationFrame(focusQuery);
      }
    } else if (key === "?") setShowsKeys(true);
    else if (key === "w" && tab === "search") go({ why: address.why ? null : "1" }, { replace: true });
    else if (tab !== "judge" && /^[1-6]$/.test(key)) go({ tab: key === "1" ? null : (TABS[Number(key) - 1] ?? null), doc: null, at: null });
    else return false;
    return true;
  });

  useEffect(() => {
    document.title = [address.q, collection, "gnomon"].filter(Boolean).join(" · ");
  }, [address.q, collection]);

  return (
    <div class={hasDocument ? "with-panel" : undefined}>
      <a class="button skip" href="#main">
        To the content
      </a>
      <Head collections={collections} collection={collection} tab={tab} showKeys={() => setShowsKeys(true)} />
      <main id="main" tabIndex={-1}>
        {served.data && collection && !collections.some(({ name }) => name === collection) ? (
          <Empty title={`No collection “${collection}” is served here`}>
            <p>
              {collections.map(({ name }) => (
                <a key={name} class="button" href={hrefOf({ c: name }, {})}>
                  {name}
                </a>
              ))}
            </p>
          </Empty>
        ) : collection ? (
          <Tab key={collection} tab={tab} props={{ collection, open }} />
        ) : served.error ? (
          <Failed error={served.error} retry={served.reload} />
        ) : served.loading ? (
          <Loading what="Asking the server" />
        ) : (
          <Empty title="No collection is served">
            <p>
              This server was started with models only. Start it with a collection to search one:{" "}
              <code>gnomon serve KB</code>
            </p>
          </Empty>
        )}
      </main>
      {hasDocument && (
        <DocumentPanel collection={collection} document={address.doc ?? ""} at={address.at ?? ""} close={closeDocument} />
      )}
      {showsKeys && <KeysHelp close={() => setShowsKeys(false)} />}
      <KeyPrompt />
    </div>
  );
}

function Tab({ tab, props }: { tab: TabName; props: TabProps }) {
  switch (tab) {
    case "search":
      return <SearchTab {...props} />;
    case "ask":
      return <AskTab {...props} />;
    case "map":
      return <Lazy load={loadMap} props={props} />;
    case "versions":
      return <VersionsTab {...props} />;
    case "health":
      return <HealthTab {...props} />;
    case "judge":
      return <JudgeTab {...props} />;
  }
}
