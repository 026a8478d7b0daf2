/** Whether the page is dark now: by its own choice of scheme, or the system's. */
import { useEffect, useState } from "preact/hooks";

const system = matchMedia("(prefers-color-scheme: dark)");

function isDark(): boolean {
  const { theme } = document.documentElement.dataset;
  return theme === "dark" || (theme !== "light" && system.matches);
}

export function useDark(): boolean {
  const [dark, setDark] = useState(isDark);
  useEffect(() => {
    const follow = () => setDark(isDark());
    const observer = new MutationObserver(follow);
    observer.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    system.addEventListener("change", follow);
    follow();
    return () => {
      observer.disconnect();
      system.removeEventListener("change", follow);
    };
  }, []);
  return dark;
}
