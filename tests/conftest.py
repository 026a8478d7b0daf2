"""What all tests share: arrays' shapes are checked as they run, and the real default model, fetched once."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from beartype import beartype
from hypothesis import settings
from jaxtyping import install_import_hook

from support.postgres import PostgresServer, postgres_server

# A busy machine is no fault: how long an example takes is not tested. What CI sets by itself stays.
settings.register_profile("untimed", parent=settings(), deadline=None)
settings.load_profile("untimed")

# Processes that tests start import `support` too, as pytest does by `pythonpath`.
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])

# A shell that starts a command in the background has it ignore Ctrl-C, and its children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

_ARRAY = re.compile(r"\b(Float|Int|UInt|Bool|Shaped|Num|Inexact|Integer)\d*\[")


def arrays(checked: Any) -> Any:
    """Check the annotations that give an array's shape, and no other: the rest is left to mypy.

    beartype would otherwise raise its own error for wrong input before gnomon can raise the one whose wording
    the tests are about. For the same reason constructors are left out: they refuse wrong arrays themselves.
    """
    if not isinstance(checked, FunctionType) or checked.__name__ == "__init__":
        return checked
    hints = checked.__annotations__
    checked.__annotations__ = {name: hint for name, hint in hints.items() if _ARRAY.search(_text(hint))}
    return beartype(checked) if checked.__annotations__ else checked


def _text(hint: Any) -> str:
    return hint if isinstance(hint, str) else repr(hint)


# Before the first import of these rooms: each of their functions then checks its arrays.
CHECKED = ("gnomon.core", "gnomon.kernels", "gnomon.index", "gnomon.encode")
install_import_hook(CHECKED, f"{__name__}.arrays")


@pytest.fixture(scope="session")
def _postgres_of_session() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def postgres(_postgres_of_session: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PostgresServer:
    """The session's PostgreSQL; `postgres.url()` is a new collection. What is local lies in the test's folder."""
    monkeypatch.setenv("GNOMON_HOME", str(tmp_path / "home"))
    return _postgres_of_session


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    """The folder of all-MiniLM-L6-v2, in the user's own cache so that it is downloaded once."""
    from gnomon.core.errors import ModelNotFound
    from gnomon.encode.hub.locate import locate

    try:
        return locate("all-MiniLM-L6-v2").folder
    except ModelNotFound as error:
        pytest.skip(f"the default model cannot be had here: {error}")
