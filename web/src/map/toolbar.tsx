/** What the map shows: the query, the projection, the colours, and how the pointer draws. */
import { useEffect, useState } from "preact/hooks";

import { go } from "../address";
import { Icon } from "../ui/icon";
import { Segmented } from "../ui/segmented";
import type { MapState, ProjectionName } from "./map_api";

interface ToolbarProps {
  state: MapState;
  query: string;
  projection: ProjectionName;
  colour: string;
  lassoing: boolean;
  setLassoing: (on: boolean) => void;
}

const DRAWING = [
  { value: "move", name: "Move", title: "Drag to move the map; with the shift key to draw a lasso" },
  { value: "lasso", name: "Lasso", title: "Drag around passages to list them" },
];

export function Toolbar({ state, query, projection, colour, lassoing, setLassoing }: ToolbarProps) {
  const [typed, setTyped] = useState(query);
  useEffect(() => setTyped(query), [query]);
  const umap = state.projections.find(({ name }) => name === "umap");
  const variance = `${Math.round(100 * state.variance)} % of the variance`;
  const choices = [
    { value: "pca", name: "PCA", title: `Principal components: exact, ${variance}` },
    ...(umap?.state === "ready" ? [{ value: "umap", name: "UMAP", title: "Keeps neighbours together" }] : []),
  ];
  return (
    <div class="map-toolbar">
      <form
        role="search"
        onSubmit={(event) => {
          event.preventDefault();
          go({ q: typed.trim() || null });
        }}
      >
        <label>
          <span class="hidden-text">Query to place on the map</span>
          <input
            type="search"
            data-query
            value={typed}
            placeholder="Place a query on the map"
            onInput={(event) => setTyped(event.currentTarget.value)}
            onSearch={(event) => event.currentTarget.value === "" && go({ q: null })}
          />
        </label>
        <button type="submit" class="button">
          <Icon name="search" /> Place
        </button>
      </form>
      <Segmented
        label="Projection"
        choices={choices}
        value={projection}
        choose={(value) => go({ projection: value }, { replace: true })}
      />
      <label class="map-colour">
        <span>Colour</span>
        <select
          value={colour}
          onChange={(event) => go({ colour: event.currentTarget.value || null }, { replace: true })}
        >
          <option value="">cluster</option>
          {state.fields.map(({ name }) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <Segmented
        label="Dragging"
        choices={DRAWING}
        value={lassoing ? "lasso" : "move"}
        choose={(value) => setLassoing(value === "lasso")}
      />
      <p class="map-note" role="status">
        {umap && note(umap.state, umap.is_updating, umap.reason)}
      </p>
    </div>
  );
}

function note(state: string, isUpdating: boolean, reason: string): string {
  if (state === "computing" || state === "missing") return "UMAP is being computed; it takes minutes.";
  if (state === "ready") return isUpdating ? "UMAP is being computed anew." : "";
  return `No UMAP: ${reason}`;
}
