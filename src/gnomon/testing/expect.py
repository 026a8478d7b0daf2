"""What the conformance checks say when a promise is broken."""

from __future__ import annotations

from collections.abc import Callable

from gnomon.core.errors import InvalidInput


def fail(sentence: str) -> None:
    """Say which promise was broken."""
    raise AssertionError(sentence)


def expect(holds: bool, sentence: str) -> None:
    """Raise AssertionError with the sentence unless it holds. (`assert` would vanish under python -O.)"""
    if not holds:
        fail(sentence)


def refuses(call: Callable[[], object], error: type[Exception], what: str) -> None:
    """Expect that the call raises this error, with a message, and an InvalidInput also with what was expected."""
    try:
        call()
    except error as raised:
        expect(bool(str(raised)), f"{what} raised {error.__name__} without a message")
        helpful = not isinstance(raised, InvalidInput) or bool(raised.expected)
        expect(helpful, f"{what} raised {error.__name__} without saying what is expected")
        return
    except Exception as raised:  # noqa: BLE001 - whatever else comes is the finding
        fail(f"{what} must raise {error.__name__}, but raised {type(raised).__name__}: {raised}")
    fail(f"{what} must raise {error.__name__}, but passed")
