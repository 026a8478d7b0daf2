/** The results of two versions beside each other, with lines from each result to the same one on the other side. */
import { useLayoutEffect, useRef, useState } from "preact/hooks";

import type { By, Hit, SearchResponse } from "../client/types";
import type { Place } from "../tabs";
import { counted, duration } from "../ui/format";
import { HitItem } from "./hit_item";
import { type Movement, movement } from "./movement";
import { scoresOf } from "./why";

interface Props {
  left: SearchResponse;
  right: SearchResponse;
  names: readonly [string, string];
  by: By;
  open: (place: Place) => void;
  openId: string;
  explains: boolean;
  busy: boolean;
}

export function SideBySide({ left, right, names, by, open, openId, explains, busy }: Props) {
  const moved = movement(left.hits, right.hits, by === "document");
  const [active, setActive] = useState<readonly [number | null, number | null]>([null, null]);
  const column = (side: 0 | 1) => {
    const { hits, seconds } = side === 0 ? left : right;
    const other = side === 0 ? moved.toRight : moved.toLeft;
    const scores = scoresOf(hits);
    const point = (at: number) => setActive(side === 0 ? [at, other[at] ?? null] : [other[at] ?? null, at]);
    return (
      <section aria-label={names[side]}>
        <h2>
          {names[side]} <span class="small soft">{duration(seconds)}</span>
        </h2>
        <ol class="results" aria-busy={busy} onMouseLeave={() => setActive([null, null])}>
          {hits.map((hit, at) => (
            <li
              key={`${hit.document}:${hit.start}`}
              class={active[side] === at ? "is-active" : undefined}
              data-row={`${side}-${at}`}
              onMouseEnter={() => point(at)}
              onFocusIn={() => point(at)}
            >
              <HitItem
                hit={hit}
                rank={at + 1}
                scores={scores}
                open={open}
                isOpen={openId === hit.document}
                explains={explains}
                badge={<Moved at={at} other={other[at] ?? null} side={side} />}
              />
            </li>
          ))}
        </ol>
      </section>
    );
  };
  return (
    <>
      <p class="moved-summary" role="status">
        <span>{counted(moved.same, "result")} in the same place</span>
        <span class="moved-same">{moved.moved} moved</span>
        <span class="moved-new">{moved.fresh} new in {names[1]}</span>
        <span class="moved-gone">{moved.gone} gone</span>
      </p>
      <div class="versus">
        {column(0)}
        <Lines moved={moved} hits={[left.hits, right.hits]} active={active} explains={explains} />
        {column(1)}
      </div>
    </>
  );
}

function Moved({ at, other, side }: { at: number; other: number | null; side: 0 | 1 }) {
  if (other === null) {
    return side === 0 ? <span class="moved moved-gone">gone</span> : <span class="moved moved-new">new</span>;
  }
  const up = side === 0 ? at - other : other - at;
  if (up === 0) return <span class="moved moved-same">=</span>;
  return (
    <span class={up > 0 ? "moved moved-up" : "moved moved-down"}>
      <span aria-hidden="true">{up > 0 ? "▲" : "▼"}</span>
      <span class="hidden-text">{up > 0 ? "up by" : "down by"}</span> {Math.abs(up)}
    </span>
  );
}

interface LinesProps {
  moved: Movement;
  hits: readonly [readonly Hit[], readonly Hit[]];
  active: readonly [number | null, number | null];
  explains: boolean;
}

/** The lines in the gap between both lists; drawn anew whenever a row changes its height. */
function Lines({ moved, hits, active, explains }: LinesProps) {
  const own = useRef<HTMLDivElement>(null);
  const [rows, setRows] = useState<Record<string, number>>({});
  useLayoutEffect(() => {
    const gap = own.current;
    const area = gap?.parentElement;
    if (!gap || !area) return undefined;
    const measure = () => {
      const top = gap.getBoundingClientRect().top;
      const found: Record<string, number> = {};
      for (const row of area.querySelectorAll<HTMLElement>("[data-row]")) {
        const title = row.querySelector(".hit-head") ?? row;
        const box = title.getBoundingClientRect();
        found[row.dataset.row ?? ""] = box.top + Math.min(box.height, 24) / 2 - top;
      }
      setRows(found);
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(area);
    return () => observer.disconnect();
  }, [hits[0], hits[1], explains]);
  return (
    <div class="versus-lines" ref={own} aria-hidden="true">
      <svg>
        {moved.toRight.map((to, from) => {
          const [a, b] = [rows[`0-${from}`], rows[`1-${to}`]];
          if (to === null || a === undefined || b === undefined) return null;
          const how = to < from ? "up" : to > from ? "down" : "";
          const isActive = active[0] === from || active[1] === to;
          return <path key={from} class={isActive ? `${how} is-active` : how} d={`M4 ${a}C40 ${a} 40 ${b} 76 ${b}`} />;
        })}
      </svg>
    </div>
  );
}
