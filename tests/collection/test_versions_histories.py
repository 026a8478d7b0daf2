"""Writes, steps of builds, kills, switches, ways back and clearing up in any order, beside a plain model.

bench/migration/histories.py generates ten thousand of these; here a few are, and many in the slow tests.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from support.version_histories import Histories, histories_at

ON_BOTH = True


@pytest.mark.timeout(1200)  # on a busy machine
@pytest.mark.parametrize("examples", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_any_history(backend: str, new_place: Callable[[], str], examples: int) -> None:
    run_state_machine_as_test(
        Histories if backend == "sqlite" else histories_at(new_place),
        settings=settings(
            max_examples=examples if backend == "sqlite" else examples // 10, stateful_step_count=25, deadline=None,
            suppress_health_check=list(HealthCheck), derandomize=examples == 10,
        ),
    )  # fmt: skip
