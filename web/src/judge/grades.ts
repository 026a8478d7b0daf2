/** What grades are called, from 0 to the highest. */
export function gradeNames(highest: number): string[] {
  if (highest === 1) return ["not relevant", "relevant"];
  if (highest === 2) return ["not relevant", "somewhat", "relevant"];
  return Array.from({ length: highest + 1 }, (_, grade) =>
    grade === 0 ? "not relevant" : grade === highest ? "fully relevant" : `grade ${grade}`,
  );
}
