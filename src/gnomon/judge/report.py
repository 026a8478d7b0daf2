"""Verdicts of the candidates, and what readers of them should know."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from gnomon.collection.collection import Collection
from gnomon.evaluate.active_sampling import verdict_of
from gnomon.evaluate.agreement import Agreement
from gnomon.judge.answers import Answer
from gnomon.judge.records import Outcome, PairVerdict
from gnomon.judge.state import State

Graded = Mapping[tuple[str, str], Answer]
_LOW_KAPPA, _ENOUGH_PAIRS, _ENOUGH_JUDGMENTS = 0.4, 5, 10


def pair_verdicts(state: State) -> tuple[PairVerdict, ...]:
    """Each candidate against the baseline. Judgments that are all alike decide nothing."""
    settings, names = state.definition.settings, state.definition.candidates.names
    alpha, is_one_sided, verdicts = settings.alpha / (len(names) - 1), all_alike(state.graded()), []
    for pair, name in enumerate(names[1:]):
        estimate = state.sample.estimate(pair, alpha=alpha)
        outcome = cast("Outcome", verdict_of(estimate.interval, margin=settings.margin))
        outcome = "undecided" if is_one_sided else outcome
        needed = state.sample.needed(pair, estimate, margin=settings.margin) if outcome == "undecided" else 0
        alone = None if state.opinion is None else state.people_alone.estimate(pair, alpha=alpha).interval
        found = PairVerdict(names[0], name, outcome, estimate.difference, estimate.interval, needed, alone)
        verdicts.append(found)
    return tuple(verdicts)


def needed_in_all(state: State, verdicts: Sequence[PairVerdict]) -> int | None:
    """About how many more judgments all verdicts take together; None where one is not known."""
    needed = [verdict.needed for verdict in verdicts if verdict.outcome == "undecided"]
    return None if None in needed else min(state.sample.left, sum(each or 0 for each in needed))


def all_alike(graded: Graded) -> bool:
    """Whether all judgments are positive, or all negative."""
    return len({bool(answer.grade) for answer in graded.values()}) == 1


def changed_documents(kb: Collection, graded: Graded) -> tuple[frozenset[str], frozenset[str]]:
    """Of the judged documents those that were deleted since, and those whose text was changed."""
    judged = {answer.document: answer.digest for answer in graded.values()}
    found = {document.id: document.text for document in kb.get(list(judged))}
    changed = {
        document
        for document, text in found.items()
        if hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16] != judged[document]
    }
    return frozenset(judged.keys() - found.keys()), frozenset(changed)


@dataclass(frozen=True)
class Sentences:
    """What a report says beside its figures."""

    graded: Graded
    agreements: Mapping[str, Agreement]
    gone: frozenset[str]
    changed: frozenset[str]
    pool: int

    def agreement_rows(self) -> Iterator[dict[str, Any]]:
        """A row for each measure that has judgments."""
        for who, found in self.agreements.items():
            if found.pairs:
                yield {"annotators with": who, "pairs": found.pairs, "share": found.share, "kappa": found.kappa}

    def notes(self) -> Iterator[str]:
        """The sentences."""
        if all_alike(self.graded) and len(self.graded) >= min(_ENOUGH_JUDGMENTS, self.pool):
            kind = "relevant" if any(answer.grade for answer in self.graded.values()) else "not relevant"
            yield (
                f"All {len(self.graded):,} judgments are {kind}: such judgments tell no two searches apart, so "
                "there is no verdict."
            )
        if self.gone:
            yield (
                f"{len(self.gone):,} judged documents were deleted since, such as {min(self.gone)!r}: their judgments "
                "count here and are not exported."
            )
        if self.changed:
            yield f"{len(self.changed):,} judged documents were changed since, such as {min(self.changed)!r}."
        for who, found in self.agreements.items():
            if found.pairs >= _ENOUGH_PAIRS and found.kappa is not None and found.kappa < _LOW_KAPPA:
                yield (
                    f"Annotators agree with {who} on {found.share:.0%} of {found.pairs} passages judged twice (kappa "
                    f"{found.kappa:.2f}): what counts as relevant is not clear, and verdicts rest on it."
                )
