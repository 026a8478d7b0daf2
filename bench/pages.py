"""The measured pages of docs/, from templates that a person can edit and the figures in bench/results.

    python -m bench pages                  # writes all of them
    python -m bench pages scan gate        # some
    python -m bench pages --check          # writes nothing; names those that differ from what is in docs

A page is `templates/NAME.md.j2` (Jinja). In it `results("scan")` is bench/results/scan.json, and `x | fmt(".2f")`
is Python's format(x, ".2f"). What a template cannot say simply comes from the function `context(results)` of the
module named in CONTEXTS. A page that is written by hand keeps its text outside of two marks; the template gives
what stands between them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bench.record import RESULTS

TEMPLATES = Path(__file__).parent / "templates"
DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- figures: from here -->\n", "<!-- figures: to here -->\n"
CONTEXTS = {
    "answers": "bench.answers.answers_page",
    "chunking": "bench.quality.chunking_page",
    "context": "bench.quality.context",
    "embedding-adapter": "bench.migration.adapter_page",
    "encoders": "bench.quality.encoders_page",
    "fusion": "bench.quality.fusion_page",
    "gate": "bench.quality.gate_page",
    "guard": "bench.migration.guard",
    "monitoring": "bench.migration.monitoring_page",
    "peers": "bench.peers.peers_page",
    "pseudo": "bench.quality.pseudo_page",
    "scale": "bench.speed.scale_page",
    "seen": "bench.training.seen_page",
    "stages": "bench.quality.stages_page",
    "training-figures": "bench.training.train_page",
}
"""Page to the module whose `context(results)` gives its template more names."""


def results(name: str) -> dict[str, Any] | None:
    """The figures of a benchmark as it recorded them; None where it has not run."""
    path = RESULTS / f"{name}.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def environment() -> Environment:
    """Jinja as the pages use it: a name that is not there is an error."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    made.globals["results"] = results
    made.globals["table"] = table
    made.filters["fmt"] = lambda value, spec: format(value, spec)
    return made


def table(heads: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
    """A Markdown table."""
    titles = list(heads)
    lines = [f"| {' | '.join(map(str, cells))} |" for cells in (titles, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(titles), *lines[1:]])


def names() -> list[str]:
    """All pages."""
    return sorted(path.name.removesuffix(".md.j2") for path in TEMPLATES.glob("*.md.j2"))


def page(name: str) -> str:
    """A page's whole text."""
    more = import_module(CONTEXTS[name]).context(results) if name in CONTEXTS else {}
    text = environment().get_template(f"{name}.md.j2").render(page=name, **more)
    path = DOCS / f"{name}.md"
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    if BEGIN in before:
        head, rest = before.split(BEGIN)
        return head + BEGIN + text + END + rest.split(END)[1]
    return text


def write(*pages: str) -> None:
    """Write pages anew."""
    for name in pages:
        (DOCS / f"{name}.md").write_text(page(name), encoding="utf-8")


def main() -> int:
    """Write pages, or compare them."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("page", nargs="*", choices=[*names(), []], help="(default: all)")
    arguments.add_argument("--check", action="store_true")
    given = arguments.parse_args()
    different = []
    for name in given.page or names():
        path, text = DOCS / f"{name}.md", page(name)
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        different.append(name)
        if not given.check:
            write(name)
            print(f"docs/{path.name}")
    if given.check and different:
        print(f"not as bench/results and bench/templates have them: {', '.join(different)}; python -m bench pages")
    return 1 if given.check and different else 0


if __name__ == "__main__":
    sys.exit(main())
