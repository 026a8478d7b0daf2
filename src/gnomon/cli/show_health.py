"""How what `gnomon doctor` found is shown."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from gnomon.cli.figures import counted, duration
from gnomon.cli.terminal import clean, print_hanging, print_rows
from gnomon.evolve.examining.makers import Made
from gnomon.evolve.examining.report import Examination, Finding
from gnomon.evolve.examining.store import StoreExamination, StorePart

_STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}
_MADE = {"one": "green", "partly": "red", "mixed": "red", "none": "yellow", "unknown": "yellow"}


def print_examination(console: Console, found: Examination) -> None:
    """What is in a collection, what is wrong, worst first, and what was looked at."""
    head = [
        ("collection", clean(found.collection, style="bold")),
        ("holds", Text(f"{counted(found.documents, 'document')} of {counted(found.files, 'file')}")),
    ]
    for space in found.spaces:
        vectors = f"{counted(space.documents, 'vector')} of passages, {space.queries:,} of queries"
        users = ", ".join(space.versions) or "no version"
        head.append(("space", clean(f"{space.space}: {vectors}; {users}")))
    for info in found.versions:
        lacks = f", lacks {counted(info.behind, 'document')}" if info.behind else ""
        head.append(("version", clean(f"{info.name} {info.state}: {info.model}{lacks}")))
    print_rows(console, [(Text(label, style="dim"), body) for label, body in head])
    if found.findings:
        console.print()
    for finding in found.findings:
        _print_finding(console, finding)
    console.print()
    rows = [(Text("mended", style="green"), clean(what)) for what in found.mended]
    rows += [(Text("skipped", style="yellow"), clean(what)) for what in found.skipped]
    rows.append((Text("checked", style="dim"), clean(", ".join(found.checks) or "nothing")))
    rows.append((Text("result", style="bold"), _result(found.findings, found.seconds)))
    print_rows(console, rows)


def print_store(console: Console, found: StoreExamination) -> None:
    """What is in another store: a part after the other."""
    print_rows(console, [(Text("store", style="dim"), clean(f"{found.place}, {found.kind}", style="bold"))])
    for part in found.parts:
        console.print()
        _print_part(console, part)
    console.print()
    findings = [finding for part in found.parts for finding in part.findings]
    print_rows(console, [(Text("result", style="bold"), _result(findings, found.seconds))])


def _print_part(console: Console, part: StorePart) -> None:
    rows = [
        ("part", clean(part.name, style="bold")),
        (
            "holds",
            Text(f"{counted(part.rows, 'row')}, {counted(part.vectors, 'vector')}, {part.dim} dimensions"),
        ),
    ]
    if part.lengths is not None:
        least, median, most = part.lengths
        told = (
            "all 1: normalised" if part.is_normalised else f"{least:.4g} to {most:.4g}, median {median:.4g}"
        )
        rows.append(("lengths", Text(told)))
    if part.made is not None:
        rows.append(("model", _made(part.made)))
    rows += [("note", clean(note)) for note in part.notes]
    print_rows(console, [(Text(label, style="dim"), body) for label, body in rows])
    for finding in part.findings:
        _print_finding(console, finding)


def _made(made: Made) -> Text:
    said = clean(made.said, style=_MADE[made.verdict])
    if made.verdict != "one" and made.nearest:
        near = ", ".join(f"{name} {cosine:.2f}" for name, cosine in made.nearest[:3])
        said.append(f"\nmedian cosines of all {made.sampled}: {near}", style="dim")
    return said


def _print_finding(console: Console, finding: Finding) -> None:
    label = Text(f"{finding.severity:<9}", style=_STYLES[finding.severity])
    print_hanging(console, label, clean(finding.what, style="bold"))
    rows = [
        (Text("such as" if not at else "", style="dim"), clean(each))
        for at, each in enumerate(finding.examples)
    ]
    rows.append((Text("means", style="dim"), clean(finding.means)))
    rows.append((Text("next", style="bold"), clean(finding.advice)))
    print_rows(console, rows, indent=9)


def _result(findings: Sequence[Finding], seconds: float) -> Text:
    kinds = ("error", "warning", "note")
    counts = [sum(each.severity == kind for each in findings) for kind in kinds]
    told = [counted(count, kind) for count, kind in zip(counts, kinds, strict=True) if count]
    style = "red" if counts[0] else "yellow" if counts[1] else "green"
    return Text.assemble((", ".join(told) or "nothing is wrong", style), f", {duration(seconds)}")
