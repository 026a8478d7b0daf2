/** A small line chart: series over runs in time, a limit, rings around alarms; the values of a run on hover or by key. */
import { useLayoutEffect, useRef, useState } from "preact/hooks";

/** One line, or dots only; null where a run has no value. */
export interface Series {
  name: string;
  values: readonly (number | null)[];
  /** 1 to 6: its colour. */
  colour: number;
  dashed?: boolean;
  dots?: boolean;
}

interface ChartProps {
  title: string;
  note: string;
  /** What each run is called below the axis, oldest first, and in full. */
  labels: readonly string[];
  names: readonly string[];
  series: readonly Series[];
  limit?: { value: number; name: string };
  /** Runs with an alarm. */
  alarms?: readonly number[];
  log?: boolean;
  format: (value: number) => string;
}

const HEIGHT = 210;
const [TOP, BOTTOM, LEFT, RIGHT] = [12, 24, 48, 16];

export function LineChart({ title, note, labels, names, series, limit, alarms = [], log = false, format }: ChartProps) {
  const plot = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(480);
  const [at, setAt] = useState<number | null>(null);
  useLayoutEffect(() => {
    if (!plot.current) return undefined;
    const observer = new ResizeObserver(([entry]) => setWidth(Math.max(240, entry?.contentRect.width ?? 480)));
    observer.observe(plot.current);
    return () => observer.disconnect();
  }, []);
  const last = labels.length - 1;
  const x = (run: number) => LEFT + (last === 0 ? 0.5 : run / last) * (width - LEFT - RIGHT);
  const scale = scaleOf(series.flatMap(({ values }) => values.filter((value) => value !== null)).concat(limit?.value ?? []), log);
  const y = (value: number) => TOP + (1 - scale.place(value)) * (HEIGHT - TOP - BOTTOM);
  const move = (step: number) => setAt((before) => Math.min(last, Math.max(0, (before ?? (step > 0 ? -1 : last + 1)) + step)));
  const point = (event: PointerEvent) => {
    const box = plot.current?.getBoundingClientRect();
    if (box) setAt(Math.min(last, Math.max(0, Math.round(((event.clientX - box.left - LEFT) / (width - LEFT - RIGHT)) * last))));
  };
  return (
    <figure class="card chart">
      <figcaption>
        <h3>{title}</h3>
        <span class="chart-note">{note}</span>
      </figcaption>
      <div class="chart-plot" ref={plot}>
        <svg
          viewBox={`0 0 ${width} ${HEIGHT}`}
          role="img"
          aria-label={`${title}, ${labels.length} runs. Arrow keys show the values of a run.`}
          tabIndex={0}
          onPointerMove={point}
          onPointerLeave={() => setAt(null)}
          onBlur={() => setAt(null)}
          onKeyDown={(event) => {
            if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
            event.preventDefault();
            move(event.key === "ArrowLeft" ? -1 : 1);
          }}
        >
          {scale.ticks.map((tick) => (
            <g key={tick}>
              <line class="grid" x1={LEFT} x2={width - RIGHT} y1={y(tick)} y2={y(tick)} />
              <text x={LEFT - 8} y={y(tick) + 4} text-anchor="end">
                {format(tick)}
              </text>
            </g>
          ))}
          {dates(labels, width).map(([run, anchor]) => (
            <text key={run} x={x(run)} y={HEIGHT - 6} text-anchor={anchor}>
              {labels[run]}
            </text>
          ))}
          {limit && <line class="limit" x1={LEFT} x2={width - RIGHT} y1={y(limit.value)} y2={y(limit.value)} />}
          {series.map((one, i) => (
            <Line key={one.name} series={one} x={x} y={y} shift={one.dots ? 3 * (i - (series.length - 1) / 2) : 0} />
          ))}
          {alarms.map((run) => {
            const value = series[0]?.values[run];
            return value == null ? null : <circle key={run} class="ring" cx={x(run)} cy={y(value)} r="7" />;
          })}
          {at !== null && <line class="cursor" x1={x(at)} x2={x(at)} y1={TOP} y2={HEIGHT - BOTTOM} />}
        </svg>
        {at !== null && <Tip label={names[at] ?? ""} series={series} at={at} x={x(at)} width={width} format={format} />}
      </div>
      <ul class="legend">
        {series.map(({ name, colour }) => (
          <li key={name} class={`s${colour}`}>
            <span aria-hidden="true" />
            {name}
          </li>
        ))}
        {limit && (
          <li>
            <span class="legend-limit" aria-hidden="true" />
            {limit.name}
          </li>
        )}
      </ul>
    </figure>
  );
}

interface LineProps {
  series: Series;
  x: (run: number) => number;
  y: (value: number) => number;
  /** Dots of several series at one place are drawn beside each other. */
  shift: number;
}

function Line({ series, x, y, shift }: LineProps) {
  const points = series.values.flatMap((value, run) => (value === null ? [] : [[x(run) + shift, y(value)] as const]));
  const path = points.map(([px, py], i) => `${i === 0 ? "M" : "L"}${px.toFixed(1)} ${py.toFixed(1)}`).join("");
  return (
    <g class={`s${series.colour}`}>
      {!series.dots && <path class={series.dashed ? "series dashed" : "series"} d={path} />}
      {!series.dashed && points.map(([px, py], i) => <circle key={i} class="series-dots" cx={px} cy={py} r="3.5" />)}
    </g>
  );
}

interface TipProps {
  label: string;
  series: readonly Series[];
  at: number;
  x: number;
  width: number;
  format: (value: number) => string;
}

function Tip({ label, series, at, x, width, format }: TipProps) {
  const side = x > width / 2 ? { right: `${width - x + 10}px` } : { left: `${x + 10}px` };
  return (
    <div class="tip" style={side} role="status">
      <strong>{label}</strong>
      <dl>
        {series.map(({ name, values }) => {
          const value = values[at];
          return (
            value != null && (
              <>
                <dt>{name}</dt>
                <dd>{format(value)}</dd>
              </>
            )
          );
        })}
      </dl>
    </div>
  );
}

/** Which labels fit below the axis, with how they are anchored. */
function dates(labels: readonly string[], width: number): [number, "start" | "middle" | "end"][] {
  const last = labels.length - 1;
  if (last === 0) return [[0, "middle"]];
  const between = width > 420 ? [Math.round(last / 2)].filter((run) => run > 0 && run < last) : [];
  return [[0, "start"], ...between.map((run) => [run, "middle"] as [number, "middle"]), [last, "end"]];
}

/** A scale from 0 to 1 with round ticks; of logarithms, with a tick for every second or third power of ten. */
function scaleOf(values: readonly number[], log: boolean): { place: (value: number) => number; ticks: number[] } {
  if (log) {
    const least = Math.floor(Math.log10(Math.max(1e-6, Math.min(...values, 0.1))));
    const ticks = Array.from({ length: -least + 1 }, (_, i) => 10 ** (least + i));
    return { place: (value) => 1 - Math.log10(Math.max(value, 10 ** least)) / least, ticks };
  }
  const low = Math.min(...values);
  const high = Math.max(...values);
  const rough = (high - low || 0.1 * Math.abs(high) || 1) / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough) ?? rough;
  const from = Math.floor(low / step) * step;
  const to = Math.max(Math.ceil(high / step) * step, from + step);
  const ticks = Array.from({ length: Math.round((to - from) / step) + 1 }, (_, i) => from + i * step);
  return { place: (value) => (value - from) / (to - from), ticks };
}
