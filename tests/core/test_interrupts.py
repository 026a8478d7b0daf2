"""A SIGINT is not lost, whatever a library makes of it."""

from __future__ import annotations

import signal
from contextlib import suppress

import pytest

from gnomon.core.interrupts import kept_interrupts


def make_another_of_it() -> None:
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        raise ValueError("an actor died") from None


def test_an_interrupt_that_a_library_loses_ends_the_block_all_the_same() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), kept_interrupts() as interrupted, suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert interrupted.is_set()
    with pytest.raises(KeyboardInterrupt) as raised, kept_interrupts():
        make_another_of_it()
    assert isinstance(raised.value.__cause__, ValueError)
    with pytest.raises(ValueError, match="no signal"), kept_interrupts():
        raise ValueError("no signal came")
    assert signal.getsignal(signal.SIGINT) is before
