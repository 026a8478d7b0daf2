"""A look as one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

from gnomon.collection.catalog import explained
from gnomon.evolve.watching.charts import charts, has_matplotlib
from gnomon.evolve.watching.report import Check, WatchReport

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;color:#1d2733}
body{max-width:62rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;width:100%}
td,th{padding:.3rem .9rem .3rem 0;text-align:left;vertical-align:top;border-bottom:1px solid #e3e8ee}
td.n,td.when{font-variant-numeric:tabular-nums;white-space:nowrap}div.wide{overflow-x:auto}
td.text{min-width:18rem}.box{overflow-wrap:anywhere}img{max-width:100%}code{font:13px/1.45 monospace}
.ok{color:#00664a}.alarm{color:#b3400a;font-weight:600}.none{color:#5f6b78}
.box{border-left:4px solid #b3400a;padding:.1rem 1rem;margin:1rem 0;background:#fdf3ee}"""
_SHOWN_LOOKS = 30


def write_page(report: WatchReport, path: str | Path) -> Path:
    """Write the page, beside and renamed. Raises StorageError."""
    path = Path(path).expanduser()
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.new")
        beside.write_text(as_html(report), encoding="utf-8")
        beside.replace(path)
    return path


def as_html(report: WatchReport) -> str:
    """The page: alarms with their causes, a row a check, charts, the looks before."""
    said = "No alarm" if report.is_healthy else "Alarm: " + ", ".join(alarm.cause for alarm in report.alarms)
    parts = [f"<h1>{_text(said)}</h1>", f"<p>{_text(_about(report))}</p>"]
    parts += [
        f'<div class="box"><p><b>{_text(alarm.cause)}</b>: {_text(alarm.said)}</p>'
        f"<p>Next: {_text(alarm.next_step)}</p></div>"
        for alarm in report.alarms
    ]
    if report.rolled_back is not None:
        parts.append(f"<p><b>Rollback</b>: {_text(report.rolled_back.said)}.</p>")
    parts += [f"<p>{_text(note)}</p>" for note in report.notes]
    parts += ["<h2>Checks</h2>", _checks(report.checks), _pictures(report), _history(report)]
    body = "\n".join(parts)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>gnomon watch</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{_STYLE}</style><body>{body}</body></html>\n"
    )


def _about(report: WatchReport) -> str:
    baseline = f"baseline of {report.baseline}" if report.baseline else "no baseline"
    if report.took_baseline:
        baseline = "this look is the baseline"
    return (
        f"{report.collection}, {report.version} ({report.model}), {report.at}; {baseline}. "
        f"All tests together raise a false alarm in at most {report.false_alarms:.0%} of the looks."
    )


def _checks(checks: Sequence[Check]) -> str:
    rows = []
    for check in checks:
        style = {"ok": "ok", "alarm": "alarm"}.get(check.state, "none")
        p = "" if check.adjusted is None else f"{check.adjusted:.3g}"
        said = _text(check.said)
        if check.examples:
            said += f"<br><small>such as {'; '.join(f'“{_text(text)}”' for text in check.examples)}</small>"
        rows.append(
            f'<tr><td>{check.name}</td><td class="{style}">{check.state}</td>'
            f'<td class="text">{said}</td><td class="n">{p}</td></tr>'
        )
    head = "<tr><th>check</th><th>state</th><th>what was seen</th><th>p, corrected</th></tr>"
    return f'<div class="wide"><table>{head}{"".join(rows)}</table></div>'


def _pictures(report: WatchReport) -> str:
    if not has_matplotlib():
        return "<p>Charts need matplotlib: pip install 'gnomon[plot]'.</p>"
    parts = []
    for name, png in charts(report).items():
        data = base64.b64encode(png).decode()
        parts.append(f'<h2>{name.capitalize()}</h2><img alt="{name}" src="data:image/png;base64,{data}">')
    return "".join(parts)


def _history(report: WatchReport) -> str:
    rows = []
    for look in report.history[-_SHOWN_LOOKS:][::-1]:
        golden, speed = look.get("golden") or {}, look.get("latency") or {}
        cells = (
            str(look["at"]),
            str(look.get("version", "")),
            ", ".join(look.get("causes") or ()) or "none",
            f"{golden['mean']:.3f}" if golden else "",
            f"{speed['p50']:.0f} / {speed['p95']:.0f}" if speed else "",
        )
        first, *others = (_text(cell) for cell in cells)
        rows.append(f'<tr><td class="when">{first}</td>{"".join(f"<td>{cell}</td>" for cell in others)}</tr>')
    names = ("look", "version", "alarms", "golden", "p50 / p95 ms")
    head = f"<tr>{''.join(f'<th>{name}</th>' for name in names)}</tr>"
    return f'<h2>The last looks</h2><div class="wide"><table>{head}{"".join(rows)}</table></div>'


def _text(text: str) -> str:
    return html.escape(text)
