/** The colour scheme: the system's, or one that was chosen on this page. */
export type Theme = "system" | "light" | "dark";

const KEY = "gnomon.theme";

/** The scheme chosen in this browser; storage may be refused, and then it is the system's. */
export function storedTheme(): Theme {
  try {
    const found = localStorage.getItem(KEY);
    return found === "light" || found === "dark" ? found : "system";
  } catch {
    return "system";
  }
}

/** Show the page in a scheme. */
export function applyTheme(theme: Theme): void {
  document.documentElement.dataset.theme = theme;
}

/** Keep a scheme for later visits and show it. */
export function chooseTheme(theme: Theme): void {
  applyTheme(theme);
  try {
    if (theme === "system") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch {
    // Storage is refused: the choice holds until the page is closed.
  }
}
