"""Old names of fields and of a package's contents, kept with a warning."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
