/** Filters made of the collection's own fields, and a condition that is typed. */
import { useEffect, useState } from "preact/hooks";

import { type Address, go } from "../address";
import type { FieldInfo } from "../client/types";
import { Icon } from "../ui/icon";
import { count } from "../ui/format";
import { TextInput } from "../ui/text_input";
import { describeFilter, filterChange, filtersOf, ofPart, ofRange, ofValues, partOf, rangeOf, valuesOf, withoutFilters } from "./filters";

const SHOWN = 8;

interface PanelProps {
  address: Address;
  fields: readonly FieldInfo[];
  /** Whether the server refuses the search, which may be for the typed condition. */
  isRefused: boolean;
}

export function FilterPanel({ address, fields, isRefused }: PanelProps) {
  const filters = filtersOf(address);
  const active = filters.size + (address.where ? 1 : 0);
  const [isOpen, setIsOpen] = useState(() => matchMedia("(min-width: 60.01rem)").matches);
  useEffect(() => {
    const wide = matchMedia("(min-width: 60.01rem)");
    const follow = () => setIsOpen(wide.matches);
    wide.addEventListener("change", follow);
    return () => wide.removeEventListener("change", follow);
  }, []);
  return (
    <details class="filters" open={isOpen} onToggle={(event) => setIsOpen(event.currentTarget.open)}>
      <summary class="button">
        <Icon name="filter" />
        Filters{active > 0 && ` (${active})`}
      </summary>
      <div class="filters-inner">
        {fields.map((field) => (
          <Field key={field.name} field={field} filter={filters.get(field.name) ?? ""} />
        ))}
        <Condition typed={address.where ?? ""} isRefused={isRefused} example={exampleOf(fields)} />
      </div>
    </details>
  );
}

function Field({ field, filter }: { field: FieldInfo; filter: string }) {
  const set = (value: string) => go(filterChange(field.name, value));
  return (
    <fieldset>
      <legend>{field.name}</legend>
      {field.type === "text" || field.type === "boolean" ? (
        <Values field={field} filter={filter} set={set} />
      ) : (
        <Range field={field} filter={filter} set={set} />
      )}
    </fieldset>
  );
}

interface InputProps {
  field: FieldInfo;
  filter: string;
  set: (filter: string) => void;
}

function Values({ field, filter, set }: InputProps) {
  const [showsAll, setShowsAll] = useState(false);
  const chosen = valuesOf(filter);
  const known = field.values.map(({ value, documents }) => ({ value: String(value), documents }));
  const others = chosen.filter((value) => !known.some((each) => each.value === value));
  const all = [...known, ...others.map((value) => ({ value, documents: 0 }))];
  const areAllDifferent = field.distinct > SHOWN && (field.values[0]?.documents ?? 0) <= 1;
  if (areAllDifferent || field.values.length === 0 || partOf(filter)) {
    return <Part field={field} filter={filter} set={set} />;
  }
  const shown = showsAll ? all : all.filter((each, i) => i < SHOWN || chosen.includes(each.value));
  return (
    <>
      {shown.map(({ value, documents }) => (
        <label key={value} class="check">
          <input
            type="checkbox"
            checked={chosen.includes(value)}
            onChange={(event) =>
              set(ofValues(event.currentTarget.checked ? [...chosen, value] : chosen.filter((each) => each !== value)))
            }
          />
          <span>{value}</span>
          {documents > 0 && <span class="count">{count(documents)}</span>}
        </label>
      ))}
      {all.length > SHOWN && (
        <button type="button" class="link-button" onClick={() => setShowsAll(!showsAll)}>
          {showsAll ? "Fewer" : `All ${all.length}`}
        </button>
      )}
    </>
  );
}

/** A field of which nearly every document has a value of its own: what it is to contain. */
function Part({ field, filter, set }: InputProps) {
  return (
    <TextInput
      class="input"
      label={field.name}
      placeholder="contains"
      value={partOf(filter)}
      done={(part) => set(ofPart(part))}
    />
  );
}

function Range({ field, filter, set }: InputProps) {
  const [from, to] = rangeOf(filter);
  const kind = field.type === "date" ? "date" : "number";
  const bound = (value: number | string | null) =>
    value === null ? "" : kind === "date" ? String(value).slice(0, 10) : String(value);
  const input = (label: string, value: string, placeholder: string, change: (value: string) => void) => (
    <TextInput
      class="input"
      type={kind}
      label={`${field.name}, ${label}`}
      placeholder={placeholder}
      value={value}
      done={change}
    />
  );
  return (
    <div class={`range range-${kind}`}>
      <span class="soft" aria-hidden="true">
        from
      </span>
      {input("from", from, bound(field.lowest), (value) => set(ofRange(value, to)))}
      <span class="soft" aria-hidden="true">
        to
      </span>
      {input("to", to, bound(field.highest), (value) => set(ofRange(from, value)))}
    </div>
  );
}

function exampleOf(fields: readonly FieldInfo[]): string {
  const number = fields.find((field) => field.type === "number");
  return number ? `${number.name} >= ${number.lowest ?? 1}` : "id like 'docs/%'";
}

interface ConditionProps {
  typed: string;
  isRefused: boolean;
  example: string;
}

function Condition({ typed, isRefused, example }: ConditionProps) {
  return (
    <label class="field">
      <span>Condition</span>
      <TextInput
        class="input mono"
        placeholder={example}
        isRefused={isRefused}
        value={typed}
        done={(where) => go({ where })}
      />
    </label>
  );
}

/** The filters that are set, each with a cross. */
export function FilterChips({ address, fields }: { address: Address; fields: readonly FieldInfo[] }) {
  const types = new Map(fields.map((field) => [field.name, field.type]));
  const chips = [...filtersOf(address)].map(([field, filter]) => ({
    text: describeFilter(field, types.get(field) ?? "text", filter),
    change: filterChange(field, ""),
  }));
  if (address.where) chips.push({ text: address.where, change: { where: null } });
  if (chips.length === 0) return null;
  return (
    <div class="chips">
      {chips.map(({ text, change }) => (
        <span key={text} class="chip">
          {text}
          <button type="button" aria-label={`Without ${text}`} onClick={() => go(change)}>
            <Icon name="close" />
          </button>
        </span>
      ))}
      {chips.length > 1 && (
        <button type="button" class="link-button small" onClick={() => go(withoutFilters(address))}>
          Without filters
        </button>
      )}
    </div>
  );
}
