/** What the colours mean: rows that hide and show their points, and list them. */
import { count } from "../ui/format";
import type { Colouring } from "./colouring";
import { css, rampColour } from "./palette";

interface LegendProps {
  title: string;
  colouring: Colouring;
  hidden: ReadonlySet<number>;
  toggle: (code: number) => void;
  showAll: () => void;
  list: (code: number, name: string) => void;
  dark: boolean;
}

export function Legend({ title, colouring: { entries, range }, hidden, toggle, showAll, list, dark }: LegendProps) {
  return (
    <section class="map-legend" aria-label={title}>
      <div class="map-side-head">
        <h2>{title}</h2>
        {hidden.size > 0 && (
          <button type="button" class="link-button" onClick={showAll}>
            Show all
          </button>
        )}
      </div>
      {range && (
        <div class="map-ramp">
          <span class="map-ramp-bar" style={{ background: `linear-gradient(to right, ${rampStops(dark)})` }} aria-hidden="true" />
          <span>{range[0]}</span>
          <span>{range[1]}</span>
        </div>
      )}
      <ul>
        {entries.map(({ code, name, count: points, colour }) => (
          <li key={code}>
            <input
              type="checkbox"
              id={`map-code-${code}`}
              checked={!hidden.has(code)}
              onChange={() => toggle(code)}
              aria-label={`Show ${name}`}
            />
            <span class="map-swatch" style={{ background: colour }} aria-hidden="true" />
            <button type="button" class="map-entry" onClick={() => list(code, name)} title={`List the passages: ${name}`}>
              <span>{name}</span>
              <span class="map-count">{count(points)}</span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

function rampStops(dark: boolean): string {
  return [0, 0.25, 0.5, 0.75, 1].map((share) => css(rampColour(share, dark))).join(", ");
}
