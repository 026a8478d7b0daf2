/** The head of the page: which collection, the tabs, the API's documentation, the colour scheme, the keys. */
import { useEffect, useRef, useState } from "preact/hooks";

import { go, hrefOf } from "../address";
import type { CollectionSummary } from "../client/types";
import { TABS, type TabName } from "../tabs";
import { Icon } from "../ui/icon";
import { chooseTheme, storedTheme, type Theme } from "./theme_choice";

const NAMES: Record<TabName, string> = {
  search: "Search",
  ask: "Ask",
  map: "Map",
  versions: "Versions",
  health: "Health",
  judge: "Judge",
};

interface HeadProps {
  collections: readonly CollectionSummary[];
  collection: string;
  tab: TabName;
  showKeys: () => void;
}

export function Head({ collections, collection, tab, showKeys }: HeadProps) {
  return (
    <header class="head">
      <div class="head-inner">
        <a class="brand" href={hrefOf({ c: collection }, {})} aria-label="gnomon, start">
          <Logo />
          <span>gnomon</span>
        </a>
        <Chooser collections={collections} collection={collection} />
        <nav class="tabs" aria-label="Parts of the page">
          {TABS.map((name) => (
            <TabLink key={name} name={name} isCurrent={name === tab} />
          ))}
        </nav>
        <div class="head-end">
          <a class="docs-link" href="docs">
            API documentation
          </a>
          <ThemeButton />
          <button type="button" class="icon-button" aria-label="Keys" title="Keys (?)" onClick={showKeys}>
            <Icon name="keys" />
          </button>
        </div>
      </div>
    </header>
  );
}

function TabLink({ name, isCurrent }: { name: TabName; isCurrent: boolean }) {
  const change = { tab: name === "search" ? null : name, doc: null, at: null };
  const own = useRef<HTMLAnchorElement>(null);
  useEffect(() => {
    if (isCurrent) own.current?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [isCurrent]);
  const follow = (event: MouseEvent) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    go(change);
  };
  return (
    <a ref={own} href={hrefOf(change)} aria-current={isCurrent ? "page" : undefined} onClick={follow}>
      {NAMES[name]}
    </a>
  );
}

function Chooser({ collections, collection }: { collections: readonly CollectionSummary[]; collection: string }) {
  if (collections.length < 2) return <span class="chooser chooser-one">{collection}</span>;
  return (
    <span class="chooser">
      <select
        class="select"
        aria-label="Collection"
        value={collection}
        onChange={(event) => go(startOf(event.currentTarget.value))}
      >
        {collections.map(({ name }) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </select>
    </span>
  );
}

/** Another collection: the query and the tab stay, what belongs to the former one goes. */
function startOf(collection: string): Record<string, string | null> {
  const kept = new Set(["q", "tab", "mode", "by"]);
  const gone = [...new URLSearchParams(location.search).keys()].filter((name) => !kept.has(name));
  return { ...Object.fromEntries(gone.map((name) => [name, null])), c: collection };
}

const NEXT: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };
const SAID: Record<Theme, string> = { system: "as the system", light: "light", dark: "dark" };

function ThemeButton() {
  const [theme, setTheme] = useState(storedTheme);
  const next = () => {
    chooseTheme(NEXT[theme]);
    setTheme(NEXT[theme]);
  };
  const label = `Colours: ${SAID[theme]}`;
  return (
    <button type="button" class="icon-button" aria-label={label} title={label} onClick={next}>
      <Icon name={theme} />
    </button>
  );
}

function Logo() {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="#0b6e5c" />
      <path d="M7 24h18M11 24V8l11 16" class="brand-lines" />
    </svg>
  );
}
