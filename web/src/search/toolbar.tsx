/** How is searched: mode, passages or documents, scores, and a second version beside. */
import { type Address, go } from "../address";
import type { VersionInfo } from "../client/types";
import { Segmented } from "../ui/segmented";
import { modelName } from "../versions/version_card";

const MODES = [
  { value: "", name: "As set", title: "As the collection is set" },
  { value: "hybrid", name: "Hybrid", title: "By meaning and by words, fused" },
  { value: "dense", name: "Meaning", title: "By vectors alone" },
  { value: "lexical", name: "Words", title: "By words alone (BM25)" },
];
const SPARSE = { value: "sparse", name: "Sparse", title: "By a sparse encoder's weights" };
const BY = [
  { value: "", name: "Passages" },
  { value: "document", name: "Documents", title: "Each document once, by its best passage" },
];

export function SearchToolbar({ address, versions }: { address: Address; versions: readonly VersionInfo[] }) {
  const live = versions.find(({ state }) => state === "live");
  const hasSparse = live !== undefined && "sparse" in live.retrieval;
  const others = versions.filter(({ state }) => state !== "live" && state !== "retired");
  return (
    <div class="toolbar">
      <Segmented
        label="Mode"
        choices={hasSparse ? [...MODES, SPARSE] : MODES}
        value={address.mode ?? ""}
        choose={(mode) => go({ mode })}
      />
      <Segmented label="Rank" choices={BY} value={address.by ?? ""} choose={(by) => go({ by })} />
      <div class="toolbar-end">
        {others.length > 0 && (
          <label class="inline-field">
            <span>Compare with</span>
            <select class="select" value={address.vs ?? ""} onChange={(event) => go({ vs: event.currentTarget.value })}>
              <option value="">no other version</option>
              {others.map(({ name, model, state }) => (
                <option key={name} value={name}>
                  {name}, {state}: {modelName(model)}
                </option>
              ))}
            </select>
          </label>
        )}
        <label class="check" title="Each stage's score (w)">
          <input
            type="checkbox"
            checked={Boolean(address.why)}
            onChange={(event) => go({ why: event.currentTarget.checked ? "1" : null }, { replace: true })}
          />
          Why these
        </label>
      </div>
    </div>
  );
}
