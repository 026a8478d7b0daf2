"""Old names of fields and of a package's contents, kept with a warning."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from gnomon.core.renamed import renamed, renamed_fields


@renamed_fields(least="min_recall")
@dataclass(frozen=True, slots=True)
class Settings:
    """A dataclass with a renamed field."""

    min_recall: float = 0.5
    pairs: int = 1


def test_a_renamed_field_is_given_by_its_old_name_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match=r"Settings\(least=\.\.\.\) is now min_recall=\.\.\."):
        settings = Settings(pairs=2, least=0.9)  # type: ignore[call-arg]
    assert settings == Settings(0.9, 2)


def test_a_renamed_field_is_read_by_its_old_name_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match="Settings.least is now min_recall"):
        assert Settings(0.7).least == 0.7  # type: ignore[attr-defined]


def test_new_names_do_not_warn_and_unknown_ones_are_refused(recwarn: pytest.WarningsRecorder) -> None:
    assert replace(Settings(), min_recall=1.0).min_recall == 1
    with pytest.raises(TypeError, match="unknown"):
        Settings(unknown=1)  # type: ignore[call-arg]
    assert not recwarn.list


def test_a_renamed_name_of_a_package_leads_to_the_new_one() -> None:
    get = renamed(
        "gnomon.core.ranking", lambda name: name, {"Result": "Ranking", "Rows": "gnomon.core.vectors:Vectors"}
    )
    with pytest.warns(DeprecationWarning, match=r"gnomon\.core\.ranking\.Result is now gnomon\.core\.ranking\.Ranking"):
        assert get("Result").__name__ == "Ranking"
    with pytest.warns(DeprecationWarning, match=r"is now gnomon\.core\.vectors\.Vectors"):
        assert get("Rows").__name__ == "Vectors"
    assert get("other") == "other"


def load(name: str) -> Any:
    if name == "own":
        return "loaded"
    raise AttributeError(f"module 'json' has no attribute {name!r}")


GET = renamed("json", load, {"read": "loads", "JoinPath": "os.path:join"})


def test_an_old_name_gives_the_new_thing_of_the_same_package() -> None:
    with pytest.warns(DeprecationWarning, match=r"^json\.read is now json\.loads; the old name"):
        assert GET("read") is json.loads


def test_an_old_name_may_have_gone_to_another_package() -> None:
    import os.path

    with pytest.warns(DeprecationWarning, match=r"^json\.JoinPath is now os\.path\.join;"):
        assert GET("JoinPath") is os.path.join


def test_the_warning_points_at_the_line_that_uses_the_old_name(tmp_path: Path) -> None:
    # In a process of its own: the tests' check of shapes puts frames between.
    (tmp_path / "old.py").write_text(
        "from gnomon.core.renamed import renamed\n__getattr__ = renamed('json', None, {'read': 'loads'})\n"
    )
    (tmp_path / "user.py").write_text("import old\n\nold.read\n")
    command = [sys.executable, "-W", "always", str(tmp_path / "user.py")]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{tmp_path / 'user.py'}:3: DeprecationWarning: json.read is now json.loads" in finished.stderr


def test_other_names_are_left_to_the_module_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert GET("own") == "loaded"
        with pytest.raises(AttributeError, match="nothing"):
            GET("nothing")


def test_the_warning_of_a_field_points_at_the_line_that_uses_the_old_name(tmp_path: Path) -> None:
    (tmp_path / "use.py").write_text(
        "from dataclasses import dataclass\nfrom gnomon.core.renamed import renamed_fields\n"
        "@renamed_fields(old='new')\n@dataclass\nclass Settings:\n    new: int = 0\n"
        "settings = Settings(\n    old=1)\nprint(settings.old)\n"
    )
    command = [sys.executable, "-W", "always", str(tmp_path / "use.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
    assert [line.partition(" DeprecationWarning")[0] for line in done.stderr.splitlines() if "Warning" in line] == [
        f"{tmp_path / 'use.py'}:7:",
        f"{tmp_path / 'use.py'}:9:",
    ]
