/** The badge of each outcome. */
export const GATE_STYLES: Record<string, string> = {
  better: "badge badge-good",
  "not worse": "badge badge-good",
  undecided: "badge badge-warn",
  unproven: "badge badge-warn",
  worse: "badge badge-bad",
  broken: "badge badge-bad",
};
