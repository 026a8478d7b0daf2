/** The page: its head, the tabs, and the document beside them. */
import { go, useAddress } from "./address";
import { type Place, TABS, type TabName, type TabProps } from "./tabs";
import { Lazy } from "./ui/lazy";

const NAMES: Record<TabName, string> = {
  search: "Search",
  ask: "Ask",
  map: "Map",
  versions: "Versions",
  health: "Health",
};

const loadMap = async () => (await import("./map/index")).default;

function open(place: Place): void {
  go({ doc: place.document, at: place.start == null ? null : `${place.start}-${place.end ?? place.start}` });
}

export function App() {
  const address = useAddress();
  const tab = TABS.find((name) => name === address.tab) ?? "search";
  const props: TabProps = { collection: address.c ?? "", open };
  return (
    <>
      <header class="head">
        <nav aria-label="Parts">
          {TABS.map((name) => (
            <a
              key={name}
              href={`?tab=${name}`}
              aria-current={name === tab ? "page" : undefined}
              onClick={(event) => {
                event.preventDefault();
                go({ tab: name });
              }}
            >
              {NAMES[name]}
            </a>
          ))}
        </nav>
      </header>
      <main>{tab === "map" ? <Lazy load={loadMap} props={props} /> : <p>{NAMES[tab]}</p>}</main>
    </>
  );
}
