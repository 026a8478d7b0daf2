"""Errors say three things, and survive the way through other processes."""

import copy
import inspect
import pickle

import pytest

from gnomon.core import errors
from gnomon.core.errors import GnomonError, InvalidInput, InvalidVectors, StorageError

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, GnomonError)]


def test_there_are_errors_to_test() -> None:
    assert len(KINDS) > 10


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_error_survives_a_copy(kind: type[GnomonError], again: object) -> None:
    error = kind("an apple", expected="a pear", hint="go to the market")
    same = again(error)  # type: ignore[operator]
    assert type(same) is kind
    assert (same.message, same.expected, same.hint) == ("an apple", "a pear", "go to the market")
    assert str(same) == str(error) == "an apple\nExpected: a pear\nHint: go to the market"


@pytest.mark.parametrize("kind", KINDS)
def test_parts_that_are_not_given_are_not_printed(kind: type[GnomonError]) -> None:
    assert str(kind("an apple")) == "an apple"
    assert str(kind("an apple", hint="peel it")) == "an apple\nHint: peel it"


def test_errors_can_be_caught_as_python_names_them() -> None:
    assert issubclass(InvalidInput, ValueError)
    assert issubclass(InvalidVectors, InvalidInput)
    assert issubclass(StorageError, OSError)
    assert all(issubclass(kind, GnomonError) for kind in KINDS)


def test_warnings_are_user_warnings() -> None:
    assert issubclass(errors.TruncatedText, UserWarning)
    assert issubclass(errors.LowRecall, UserWarning)
