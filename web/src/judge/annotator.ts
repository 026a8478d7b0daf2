/** The name under which this browser judges. */

const NAME = "gnomon.annotator";

export function annotatorName(): string {
  try {
    return localStorage.getItem(NAME) || "annotator";
  } catch {
    return "annotator";
  }
}

export function keepAnnotatorName(name: string): void {
  try {
    localStorage.setItem(NAME, name);
  } catch {
    // Storage is refused: the name lasts as long as the page.
  }
}
