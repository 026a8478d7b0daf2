"""From tests to alarms: all p-values of a look are corrected together, then each alarm gets a cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from gnomon.evaluate.significance import holm_adjusted
from gnomon.monitor.report import Alarm, Cause, Check


@dataclass(frozen=True)
class Finding:
    """A check with the tests that it is decided by; without any it stands as it is."""

    check: Check
    tests: Mapping[str, float] = field(default_factory=dict)
    alarm_said: str = ""
    cause: Cause = "unknown"
    hint: str = ""


def decided(findings: Sequence[Finding], false_alarms: float) -> tuple[Check, ...]:
    """The checks with their states: Holm's correction over every test of the look."""
    names = [(at, name) for at, finding in enumerate(findings) for name in finding.tests]
    adjusted = holm_adjusted([findings[at].tests[name] for at, name in names])
    least: dict[int, float] = {}
    for (at, _), value in zip(names, adjusted, strict=True):
        least[at] = min(value, least.get(at, 1.0))
    return tuple(_decided(f, least.get(at), false_alarms) for at, f in enumerate(findings))


def _decided(finding: Finding, adjusted: float | None, false_alarms: float) -> Check:
    check = finding.check
    if adjusted is None:
        return check
    check = replace(check, p_value=min(finding.tests.values()), adjusted=adjusted)
    if adjusted > false_alarms:
        return replace(check, examples=())
    return replace(check, state="alarm", said=finding.alarm_said, cause=finding.cause, hint=finding.hint)


_ORDER: tuple[Cause, ...] = (
    "model changed", "index damaged", "documents changed", "queries changed", "slower", "unknown",
)  # fmt: skip


def attributed(checks: Sequence[Check], *, switched: str | None = None) -> tuple[tuple[Check, ...], tuple[Alarm, ...]]:
    """One alarm for each cause, the deepest first; checks that a deeper cause explains are put to that.

    `switched` says which version took over since the baseline, if another one did.
    """
    raised = {check.name for check in checks if check.state == "alarm"}
    causes = {check.name: _cause(check, raised, switched) for check in checks if check.state == "alarm"}
    checks = tuple(replace(c, cause=causes[c.name]) if c.name in causes else c for c in checks)
    alarms = []
    for cause in _ORDER:
        own = [check for check in checks if check.cause == cause and check.state == "alarm"]
        if own:
            first = own[0]
            step = first.hint
            if cause == "model changed" and first.name == "golden":
                step = "gnomon rollback COLLECTION goes back to the version before; gnomon compare measures both"
            said = "; ".join(f"{check.name}: {check.said}" for check in own)
            alarms.append(Alarm(cause, tuple(check.name for check in own), said, step))
    return checks, tuple(alarms)


def _cause(check: Check, raised: set[str], switched: str | None) -> Cause:
    """A damaged store moves what is sampled from it, and each of them makes golden queries fall."""
    own = check.cause or "unknown"
    if check.name == "documents" and "vectors" in raised:
        return "index damaged"
    if check.name != "golden":
        return own
    if "canaries" in raised or switched is not None:
        return "model changed"
    if raised & {"vectors", "recall"}:
        return "index damaged"
    return "documents changed" if "documents" in raised else "unknown"
