"""The page of gnomon serve in headless Chromium: bytes and time until it can be used, and from a key to results.

Server and browser share the machine. Each load is of a fresh browser context, with nothing cached. The collection is
this project's documentation, unless another one is named.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gnomon
from bench import record

DOCS = Path(__file__).parents[2] / "docs"
QUERY = "how are the two lists of a hybrid search fused"
# Resolves with the milliseconds since the navigation began, once the box is there, has the focus and is painted.
READY = """() => new Promise(resolve => {
  const look = () => document.activeElement?.matches("[data-query]")
    ? requestAnimationFrame(() => resolve(performance.now())) : requestAnimationFrame(look);
  look();
})"""
# From one more letter in the box to results that were not there before.
TYPED = """async letter => {
  const [box, list] = [document.querySelector("[data-query]"), document.querySelector(".results")];
  const before = list.textContent, started = performance.now();
  box.value += letter;
  box.dispatchEvent(new InputEvent("input", { bubbles: true }));
  while (list.textContent === before || document.querySelector(".results").ariaBusy === "true") {
    await new Promise(requestAnimationFrame);
    if (performance.now() - started > 5000) throw new Error("no results");
  }
  return performance.now() - started;
}"""


@contextmanager
def served(collection: Path) -> Iterator[str]:
    """`gnomon serve` in a process of its own: its address."""
    command = [sys.executable, "-m", "gnomon", "serve", str(collection), "--port", "0"]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, text=True)
        try:
            for _ in range(600):
                log.seek(0)
                if found := re.search(r"http://127\.0\.0\.1:\d+", said := log.read()):
                    break
                if process.poll() is not None:
                    raise SystemExit(said)
                time.sleep(0.1)
            else:
                raise SystemExit("the server does not say its address")
            yield found[0]
        finally:
            process.terminate()
            process.wait(60)


def measured(browser: Any, base: str) -> dict[str, float]:
    """One load: bytes and requests, then milliseconds until painted, usable, and from a key to results."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    sizes: dict[str, int] = {}

    def keep(answer: Any) -> None:
        sizes[answer.url] = len(answer.body())

    page.on("response", keep)
    page.goto(base)
    usable = page.evaluate(READY)
    painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
    page.wait_for_load_state("networkidle")
    page.remove_listener("response", keep)
    page.keyboard.type(QUERY)
    page.locator(".hit").first.wait_for()
    page.wait_for_timeout(500)
    typed = page.evaluate(TYPED, " bread")
    context.close()
    files = {url: size for url, size in sizes.items() if "/v1/" not in url}
    return {
        "requests": len(sizes),
        "bytes_of_files": sum(files.values()),
        "bytes": sum(sizes.values()),
        "painted_ms": painted,
        "usable_ms": usable,
        "key_to_results_ms": typed,
    }


def main() -> None:
    """Measure and write the result."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collection", type=Path, help="a folder; by default the documentation is indexed")
    parser.add_argument("--loads", type=int, default=15)
    given = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("no chromium on this system: apt-get install chromium")
    with tempfile.TemporaryDirectory() as scratch:
        collection = given.collection or Path(scratch) / "kb"
        if given.collection is None:
            with gnomon.open(collection) as kb:
                kb.index(DOCS)
        with served(collection) as base, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            measured(browser, base)  # the browser's own start, and the server's first search
            runs = [measured(browser, base) for _ in range(given.loads)]
            version = browser.version
            browser.close()
        with gnomon.open(collection, create=False) as kb:
            chunks = kb.status().chunks
    figures: dict[str, Any] = {"chromium": version, "chunks": chunks, "waits_while_typing_ms": 120}
    for name in runs[0]:
        values = [run[name] for run in runs]
        figures[name] = int(values[0]) if len(set(values)) == 1 else record.spread(values, 1)
    record.write("page_load", figures)


if __name__ == "__main__":
    main()
