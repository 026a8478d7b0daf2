"""Names of models at providers, and what is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from gnomon.core.errors import InvalidInput, ModelNotFound
from gnomon.encode.providers.known import ADDRESS, PROVIDERS
from gnomon.encode.providers.names import Reference, provider_reference


def test_names_of_providers_and_addresses() -> None:
    assert provider_reference("openai:text-embedding-3-small") == Reference(
        PROVIDERS["openai"], "text-embedding-3-small"
    )
    assert provider_reference("OpenAI:m") == Reference(PROVIDERS["openai"], "m")
    assert provider_reference("http://h:1/v1#BAAI/bge-m3") == Reference(ADDRESS, "BAAI/bge-m3", "http://h:1/v1")
    assert provider_reference("https://h#m") == Reference(ADDRESS, "m", "https://h")


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "BAAI/bge-m3", "C:/models/m", r"C:\models\m", "./a", "", "a:"])
def test_other_names_are_left_to_others(name: str) -> None:
    assert provider_reference(name) is None
    assert provider_reference(Path(name)) is None


def test_a_folder_wins_over_a_provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "openai:mine").mkdir()
    assert provider_reference("openai:mine") is None


@pytest.mark.parametrize(
    ("name", "kind", "hint"),
    [
        ("opnai:m", ModelNotFound, "did you mean openai:m?"),
        ("ollama:nomic", ModelNotFound, "a server of your own: http://HOST:PORT/v1#nomic"),
        ("http://h:1/v1", InvalidInput, "add the model's name as the server has it: http://h:1/v1#MODEL"),
    ],
)
def test_what_is_no_name_is_answered_with_one(name: str, kind: type[Exception], hint: str) -> None:
    with pytest.raises(kind) as caught:
        provider_reference(name)
    assert caught.value.hint == hint  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["http://user:pw@h/v1#m", "http://h/v1?key=secret#m", "http://#m", "http://h:x/v1#m"])
def test_an_address_holds_no_secret_and_is_one(name: str) -> None:
    from gnomon.encode.load import load_encoder

    with pytest.raises(InvalidInput):
        load_encoder(name)
