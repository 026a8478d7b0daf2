"""gnomon monitor: how often it alarms while nothing is wrong, what it detects, and what it says it is.

    python -m bench monitoring [--looks 200] [--damages 100]

A collection of 2,000 InsuranceQA answers is looked at with real questions (all-MiniLM-L6-v2). Healthy looks
come in series after a baseline each, with documents coming and going in between; damage is done to a copy of
a healthy collection after its baseline. What was looked at is kept under ~/.cache/gnomon/bench/monitoring, and a
run that was cut off goes on. Writes results/monitoring.json and docs/monitoring.md.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gnomon
from bench import pages
from bench.migration.monitoring_page import IMAGES, draw
from bench.migration.monitoring_sets import (
    HOME,
    PROMPT,
    Known,
    Material,
    corrupted,
    damaged,
    keep,
    known,
    made,
    material,
    rotation,
)
from bench.record import write
from gnomon.encode import load_encoder
from gnomon.kernels.statistics import share_interval
from gnomon.monitor import MonitorReport, MonitorSettings, monitor
from gnomon.monitor.html_report import charts

MODEL = "all-MiniLM-L6-v2"
QUERIES, BASELINE, SAMPLE, PERMUTATIONS = 200, 500, 500, 299
SERIES, CHURN = 10, 40
MIX, LESS = 0.3, 40
LOG = HOME / "monitoring" / "looks.jsonl"
EXPECTED = {
    "another model's vectors in the store": "index damaged",
    "5 % of the stored vectors corrupted": "index damaged",
    "the model exchanged under its name": "model changed",
    "the query prompt left out or cut by the model": "model changed",
    "queries cut to their first 3 words": "queries changed",
    "30 % of queries of another subject (SciFact claims)": "queries changed",
    "30 % of queries of one topic (medicare)": "queries changed",
    "20 % documents of another subject (SciFact)": "documents changed",
}
WEAKER = {"5 % of the stored": (0.01, 0.02), "SciFact claims": (0.05, 0.1, 0.2), "topic": (0.05, 0.1, 0.2)}
"""Damages that are also done to less than in EXPECTED, by words of their names."""
Look = dict[str, Any]


def main() -> None:
    """Measure, write results/monitoring.json and the page."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--looks", type=int, default=200)
    arguments.add_argument("--damages", type=int, default=100)
    arguments.add_argument("--only", help="this part alone, into the log: healthy0123, or words of a damage")
    given = arguments.parse_args()
    content, encoder = material(), known(load_encoder(MODEL))
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch), content, encoder)
        if given.only:
            bench.part(given.only, given.looks, given.damages)
            return
        healthy = [look for number in range(SERIES) for look in bench.series(number, given.looks // SERIES)]
        damages = {name: bench.damages(name, given.damages) for name in EXPECTED}
        weaker = {
            name: {share: bench.damages(name, LESS, share) for share in WEAKER[words]}
            for words in WEAKER
            for name in EXPECTED
            if words in name
        }
        bench.picture()
        keep(encoder)
    medicare = len(content.topic) / len(content.asked)
    less = {
        name: {
            share: rate(sum(EXPECTED[name] in look["causes"] for look in looks), len(looks))
            for share, looks in of.items()
        }
        for name, of in weaker.items()
    }
    more = {"weaker": less, "medicare": round(medicare, 3)}
    file = write("monitoring", {**counted(healthy, damages), **more})
    figures = json.loads(file.read_text())
    draw(figures)
    pages.write("monitoring")


def settings(queries: list[str], seed: int, **more: Any) -> MonitorSettings:
    """A look as the bench does it: smaller samples and fewer permutations than by default."""
    return MonitorSettings(
        queries=queries,
        sample=SAMPLE,
        permutations=PERMUTATIONS,
        recall_queries=50,
        timed_searches=3,
        seed=seed,
        **more,
    )


class Bench:
    """The collections, and the looks that were done already."""

    def __init__(self, folder: Path, content: Material, encoder: Known) -> None:
        self._folder, self._content, self._encoder = folder, content, encoder
        self._done: dict[str, Look] = {}
        if LOG.is_file():
            for line in LOG.read_text().splitlines():
                look = json.loads(line)
                self._done[look["key"]] = look

    def part(self, only: str, looks: int, damages: int) -> None:
        """Some of it, for several processes to share the work."""
        for number in only.removeprefix("healthy") if only.startswith("healthy") else ():
            self.series(int(number), looks // SERIES)
        for name in EXPECTED:
            if only in name:
                self.damages(name, damages)
        for words, shares in WEAKER.items():
            for name in EXPECTED:
                for share in shares if only == "weaker " + words and words in name else ():
                    self.damages(name, LESS, share)

    def series(self, number: int, looks: int) -> list[Look]:
        """Healthy looks after a baseline, with documents exchanged in between."""
        keys = [f"healthy {number} {at}" for at in range(looks)]
        if all(key in self._done for key in keys):
            return [self._done[key] for key in keys]
        draw = random.Random(number)
        folder = made(self._folder / f"series-{number}", self._encoder, self._content)
        inside = [d.id for d in self._content.documents[len(self._content.documents) // 2 :]]
        spare = list(self._content.reserve)
        draw.shuffle(spare)
        with gnomon.open(folder, encoder=self._encoder) as kb:
            self._baseline(kb, number)
            for at, key in enumerate(keys):
                gone = [inside.pop(draw.randrange(len(inside))) for _ in range(CHURN)]
                come = [spare.pop() for _ in range(CHURN)]
                kb.remove(gone)
                kb.add(come)
                inside += [document.id for document in come]
                queries = draw.sample(self._content.asked, QUERIES)
                self._note(key, monitor(kb, settings(queries, 1000 * number + at)))
        shutil.rmtree(folder)
        return [self._done[key] for key in keys]

    def damages(self, name: str, count: int, share: float | None = None) -> list[Look]:
        """A damage, done again and again to a copy of a healthy collection with its baseline."""
        keys = [f"{name} {'' if share is None else f'({share:.0%}) '}{at}" for at in range(count)]
        for at, key in enumerate(keys):
            if key not in self._done:
                base = self._healthy(at % SERIES, prompted="prompt" in name)
                copy = self._folder / "damaged"
                shutil.copytree(base, copy)
                self._note(key, self._damaged(name, copy, at, share=share))
                shutil.rmtree(copy)
        return [self._done[key] for key in keys]

    def picture(self) -> None:
        """What a look draws of queries that were mixed with others."""
        content, draw_of = self._content, random.Random(1)
        queries = draw_of.sample(content.asked, QUERIES - round(MIX * QUERIES))
        queries += draw_of.sample(content.claims, round(MIX * QUERIES))
        with gnomon.open(self._healthy(0, prompted=False), encoder=self._encoder) as kb:
            pictures = charts(monitor(kb, settings(queries, 1)))
        IMAGES.mkdir(exist_ok=True)
        (IMAGES / "monitoring-drift.png").write_bytes(pictures["drift"])

    def _healthy(self, number: int, *, prompted: bool) -> Path:
        """A collection with its baseline; of a model with a prompt for queries where that is wanted."""
        number = 0 if prompted else number
        folder = self._folder / f"base-{number}-{prompted}"
        if not folder.is_dir():
            encoder = self._encoder.altered(prompt=PROMPT) if prompted else self._encoder
            made(folder, encoder, self._content)
            with gnomon.open(folder, encoder=encoder) as kb:
                self._baseline(kb, number)
        return folder

    def _baseline(self, kb: gnomon.Collection, number: int) -> None:
        queries = random.Random(100 + number).sample(self._content.asked, BASELINE)
        taken = monitor(kb, settings(queries, number, golden=self._content.golden, set_baseline=True))
        if not taken.took_baseline:
            raise SystemExit(f"no baseline: {taken.notes}")

    def _damaged(self, name: str, folder: Path, at: int, *, share: float | None) -> MonitorReport:
        content, encoder, draw = self._content, self._encoder, random.Random(5000 + at)
        queries = draw.sample(content.asked, QUERIES)
        mixed = round((share or MIX) * QUERIES)
        turn = rotation(encoder.space.dim)
        if "another model" in name:
            damaged(folder / "collection.db", 1.0, lambda row, _: row @ turn, seed=at)
        elif "corrupted" in name:
            damaged(folder / "collection.db", share or 0.05, corrupted, seed=at)
        elif "exchanged" in name:
            encoder = encoder.altered(change=lambda data: data @ turn)
        elif "prompt" in name:
            encoder = encoder.altered(prompt=PROMPT[: draw.randrange(len(PROMPT) - 3)])
        elif "cut" in name:
            queries = [" ".join(text.split()[:3]) for text in draw.sample(content.asked[:3000], QUERIES)]
        elif "SciFact claims" in name:
            queries = queries[mixed:] + draw.sample(content.claims, mixed)
        elif "topic" in name:
            queries = queries[mixed:] + draw.sample(content.topic, mixed)
        with gnomon.open(folder, encoder=encoder) as kb:
            if "documents" in name:
                kb.add(draw.sample(content.foreign, len(content.documents) // 5))
            return monitor(kb, settings(queries, 9000 + at))

    def _note(self, key: str, report: MonitorReport) -> None:
        look = {
            "key": key,
            "causes": [alarm.cause for alarm in report.alarms if alarm.cause != "slower"],
            "slower": any(alarm.cause == "slower" for alarm in report.alarms),
            "states": {check.name: check.state for check in report.checks},
            "p": report.history[-1]["p"],
            "golden": report.history[-1]["golden"],
            "share": report.check("vectors").figures.get("share"),
            "seconds": round(report.seconds, 2),
        }
        self._done[key] = look
        with LOG.open("a") as file:
            file.write(json.dumps(look) + "\n")
        print(key, look["causes"], look["seconds"], flush=True)


def counted(healthy: list[Look], damages: Mapping[str, list[Look]]) -> dict[str, Any]:
    """Rates with their intervals, and which cause was named."""
    false = [look for look in healthy if look["causes"]]
    tests = sorted({name for look in healthy for name in look["p"]})
    return {
        "model": MODEL,
        "documents": 2000,
        "queries_a_look": QUERIES,
        "baseline_queries": BASELINE,
        "sample": SAMPLE,
        "permutations": PERMUTATIONS,
        "series": SERIES,
        "churn": CHURN,
        "mix": MIX,
        "healthy": {
            **rate(len(false), len(healthy)),
            "causes": dict(Counter(cause for look in false for cause in look["causes"])),
            "slower": sum(look["slower"] for look in healthy),
            "below_5_percent": {name: rate(*_below(look["p"].get(name) for look in healthy)) for name in tests},
            "p": {name: [round(look["p"][name], 4) for look in healthy if name in look["p"]] for name in tests},
            "golden_sums": [round(look["golden"]["sum"], 3) for look in healthy if look["golden"]],
            "golden_falls": [round(look["golden"]["fall"], 3) for look in healthy if look["golden"]],
        },
        "damage": {
            name: {
                **rate(sum(bool(look["causes"]) for look in looks), len(looks)),
                "expected": EXPECTED[name],
                "slower": sum(look["slower"] for look in looks),
                "named": sum(EXPECTED[name] in look["causes"] for look in looks),
                "causes": dict(Counter(" + ".join(look["causes"]) or "no alarm" for look in looks)),
                "checks": dict(
                    Counter(check for look in looks for check, state in look["states"].items() if state == "alarm")
                ),
            }
            for name, looks in damages.items()
        },
    }


def rate(hits: int, of: int) -> dict[str, Any]:
    """A share with its exact 95 % interval."""
    low, high = share_interval(hits, of)
    return {
        "hits": hits,
        "of": of,
        "share": round(hits / of, 4),
        "low": round(low, 4),
        "high": round(high, 4),
    }


def _below(values: Iterator[float | None]) -> tuple[int, int]:
    known_values = [value for value in values if value is not None]
    return sum(value <= 0.05 for value in known_values), len(known_values)


if __name__ == "__main__":
    main()
