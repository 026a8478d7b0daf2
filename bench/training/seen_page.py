"""What docs/seen.md is made of, from the figures of `seen.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def context(results: Callable[[str], Any]) -> dict[str, Any]:
    """The rows of its tables."""
    figures = results("seen")
    courses = [
        (name, step, *(f"{value:.3f}" for value in values))
        for name, course in figures["courses"].items()
        for step, *values in course
    ]
    models = []
    for name, own in figures["models"].items():
        (first, trained), (second, also) = own["ndcg_at_10"]
        models.append(_between(f"{name}: start", 0, (first, second), own=own["start"]))
        models.append(_between(f"{name}: trained", own["steps"], (trained, also), own=own["trained"]))
    return {"courses": courses, "models": models}


def _between(name: str, steps: int, ndcg: tuple[float, float], *, own: dict[str, Any]) -> tuple[Any, ...]:
    """What two models have in common."""
    shared = (own[key] for key in ("results_agree", "cross_search", "cross_search_rotated"))
    both = " / ".join(f"{value:.3f}" for value in ndcg)
    return (name, steps, both, f"{own['overlap']:.2f}", f"{own['cosine']:.3f}", *(f"{one:.2f}" for one in shared))
