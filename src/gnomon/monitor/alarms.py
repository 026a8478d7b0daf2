"""From tests to alarms: all p-values of a run are corrected together, then each alarm gets a cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from gnomon.evaluate.significance import holm_adjusted
from gnomon.monitor.report import Alarm, Cause, Check


@dataclass(frozen=True)
class CheckWithTests:
    """A check with the p-values that decide it, by test; without any, its state is final.

    `alarm_message`, `cause` and `hint` are the check's if it becomes an alarm.
    """

    check: Check
    p_values: Mapping[str, float] = field(default_factory=dict)
    alarm_message: str = ""
    cause: Cause = "unknown"
    hint: str = ""


def decide(tested: Sequence[CheckWithTests], false_alarms: float) -> tuple[Check, ...]:
    """The checks with their states: Holm's correction over all tests of the run."""
    names = [(at, name) for at, one in enumerate(tested) for name in one.p_values]
    adjusted = holm_adjusted([tested[at].p_values[name] for at, name in names])
    least: dict[int, float] = {}
    for (at, _), value in zip(names, adjusted, strict=True):
        least[at] = min(value, least.get(at, 1.0))
    return tuple(_decided(one, least.get(at), false_alarms) for at, one in enumerate(tested))


def _decided(tested: CheckWithTests, adjusted: float | None, false_alarms: float) -> Check:
    check = tested.check
    if adjusted is None:
        return check
    check = replace(check, p_value=min(tested.p_values.values()), adjusted=adjusted)
    if adjusted > false_alarms:
        return replace(check, examples=())
    return replace(check, state="alarm", message=tested.alarm_message, cause=tested.cause, hint=tested.hint)


_ORDER: tuple[Cause, ...] = (
    "model changed", "index damaged", "documents changed", "queries changed", "slower", "unknown",
)  # fmt: skip


def attribute(checks: Sequence[Check], *, switched: str | None = None) -> tuple[tuple[Check, ...], tuple[Alarm, ...]]:
    """One alarm for each cause, the most fundamental first; checks that it explains are attributed to it.

    `switched` is the version that took over since the baseline, if another one did.
    """
    raised = {check.name for check in checks if check.state == "alarm"}
    causes = {check.name: _cause(check, raised, switched) for check in checks if check.state == "alarm"}
    checks = tuple(replace(c, cause=causes[c.name]) if c.name in causes else c for c in checks)
    alarms = []
    for cause in _ORDER:
        own = [check for check in checks if check.cause == cause and check.state == "alarm"]
        if own:
            hint = own[0].hint
            if cause == "model changed" and own[0].name == "golden":
                hint = "gnomon rollback COLLECTION goes back to the version before; gnomon compare measures both"
            message = "; ".join(f"{check.name}: {check.message}" for check in own)
            alarms.append(Alarm(cause, tuple(check.name for check in own), message, hint))
    return checks, tuple(alarms)


def _cause(check: Check, raised: set[str], switched: str | None) -> Cause:
    """Damaged vectors also shift the sample of documents, and either makes golden queries fall."""
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
