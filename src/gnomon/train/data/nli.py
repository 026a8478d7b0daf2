"""Classes of natural language inference: entailment, neutral, contradiction, as labels of training pairs.

SNLI and MultiNLI as `datasets` has them: premise, hypothesis, label 0 entailment, 1 neutral, 2 contradiction, -1 where
people did not agree. An entailed hypothesis is right for its premise; the two others are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gnomon.core.errors import InvalidInput
from gnomon.train.data.tables import RowTable

NliClasses = Mapping[Any, float]
_TEXTS: NliClasses = {"entailment": 1.0, "neutral": 0.0, "contradiction": 0.0, "not_entailment": 0.0}
_NUMBERS: NliClasses = {0: 1.0, 1: 0.0, 2: 0.0}
_SAMPLE = 1000
_PAIRS = ("premise", "sentence1")


def nli_classes(rows: RowTable, query: str, label: str, *, where: str) -> NliClasses | None:
    """What the values of a label column mean where they are classes of inference; None where they are scores.

    Seen by the first 1,000 rows. Raises InvalidInput for numbers that may be classes as well as scores.
    """
    if query.lower() not in _PAIRS:
        return None
    found = [rows.row(at).get(label) for at in range(min(len(rows), _SAMPLE))]
    texts = {value.strip().lower() for value in found if isinstance(value, str)}
    if texts & set(_TEXTS):
        return _TEXTS
    numbers = _whole(found)
    if numbers is None or not numbers <= {-1, 0, 1, 2}:
        return None
    is_inference = query.lower() == "premise"
    if is_inference and 2 in numbers:
        return _NUMBERS
    if is_inference or {0, 1, 2} <= numbers:
        raise InvalidInput(
            f"{where}: the numbers {', '.join(map(str, sorted(numbers)))} in {label} may be classes (0 entailment, "
            "1 neutral, 2 contradiction) or scores",
            expected="labels that are one of the two: taken as scores, an entailed pair would be the worst",
            hint='write classes as texts ("entailment", "neutral", "contradiction"); for scores say scale = '
            f"[0, {max(max(numbers), 1)}] in the source",
        )
    return None


def class_label(classes: NliClasses, value: Any) -> float | None:
    """The label of a class; None for a row without one."""
    key = value.strip().lower() if isinstance(value, str) else value
    if isinstance(key, str) and key.isdigit():
        key = int(key)
    return classes.get(key) if isinstance(key, str | int | float) else None


def _whole(values: Sequence[Any]) -> set[int] | None:
    """The values as whole numbers; None where one is no whole number."""
    try:
        numbers = {float(value) for value in values if not isinstance(value, list | tuple)}
    except (TypeError, ValueError):
        return None
    return {int(n) for n in numbers} if numbers and all(n.is_integer() for n in numbers) else None
