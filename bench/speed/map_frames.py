"""The map of 100,000 passages in headless Chromium without a graphics card: frames a second while it is panned.

    python -m bench map_frames [--work DIR]

The map is dragged in circles for five seconds, three times, by events that are sent in each frame. CPU time is that
of all processes of the browser: where other programs take the processor, frames a second say less than it does.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import psutil

from bench import record
from bench.speed.page_load import served
from bench.speed.served_collection import built

RUNS = 3
PAN = """async () => {
  const map = document.querySelector(".map-canvas"), { left, top } = map.getBoundingClientRect();
  const send = (type, x, y) => map.dispatchEvent(new PointerEvent(type,
    { bubbles: true, pointerId: 1, clientX: left + x, clientY: top + y }));
  map.setPointerCapture = () => undefined;
  send("pointerdown", 400, 300);
  const started = performance.now(), gaps = [];
  for (let last = started, now; last - started < 5000; last = now) {
    now = await new Promise(requestAnimationFrame);
    gaps.push(now - last);
    send("pointermove", 400 + 100 * Math.sin(gaps.length / 10), 300 + 60 * Math.cos(gaps.length / 10));
  }
  send("pointerup", 400, 300);
  return gaps;
}"""


def cpu_seconds(browser: psutil.Process) -> float:
    """Of a browser and all its processes."""
    return sum(sum(each.cpu_times()[:2]) for each in [browser, *browser.children(recursive=True)])


def main() -> None:
    """Measure and write results/map_frames.json."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "gnomon-bench")
    given = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("no chromium on this system: apt-get install chromium")
    with served(built(given.work)) as base, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        started = next(each for each in psutil.Process(os.getpid()).children(recursive=True) if is_browser(each))
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"{base}/?tab=map&projection=pca")
        page.locator(".map-labels span").first.wait_for(state="attached", timeout=120_000)
        page.wait_for_timeout(2000)
        size = page.locator(".map-canvas").bounding_box()
        if size is None:
            raise SystemExit("the map is not shown")
        runs: list[dict[str, float]] = []
        for _ in range(RUNS):
            before = cpu_seconds(started)
            gaps: list[float] = page.evaluate(PAN)[1:]
            runs.append(frames(gaps, cpu_seconds(started) - before))
        figures: dict[str, Any] = {"chromium": browser.version, "pixels": [round(size["width"]), round(size["height"])]}
        browser.close()
    for name in runs[0]:
        figures[name] = record.spread([run[name] for run in runs], 1)
    record.write("map_frames", figures)


def frames(gaps: list[float], cpu_s: float) -> dict[str, float]:
    """Figures of one run: milliseconds between frames, and CPU seconds meanwhile."""
    ordered = sorted(gaps)
    return {
        "frames_per_second": 1000 * len(gaps) / sum(gaps),
        "p50_ms": ordered[len(ordered) // 2],
        "p95_ms": ordered[int(len(ordered) * 0.95)],
        "cpu_ms_per_frame": 1000 * cpu_s / len(gaps),
    }


def is_browser(process: psutil.Process) -> bool:
    """Whether it is the browser itself, which started all its other processes."""
    line = process.cmdline()
    return bool(line) and "chromium" in line[0] and not any(each.startswith("--type=") for each in line)


if __name__ == "__main__":
    main()
