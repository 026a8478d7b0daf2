"""Where a collection is: folders and addresses in databases, and passwords that are never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from gnomon.collection.address import PostgresAddress, collection_address, data_home, is_database, shown
from gnomon.core.errors import InvalidInput


@pytest.mark.parametrize(
    ("given", "printed", "password", "secret", "collection"),
    [
        ("postgresql://h/db/kb", "postgresql://h/db/kb", None, "postgresql://h/db", "kb"),
        ("postgresql://u:p%2Fw@h:5/db/kb", "postgresql://u@h:5/db/kb", "p/w", "postgresql://u:p%2Fw@h:5/db", "kb"),
        ("postgresql://[::1]:5432/db/kb/", "postgresql://[::1]:5432/db/kb", None, "postgresql://[::1]:5432/db", "kb"),
        ("postgresql://a:1,b:2/db/kb", "postgresql://a:1,b:2/db/kb", None, "postgresql://a:1,b:2/db", "kb"),
        ("postgresql://h/d%20b/k%20b", "postgresql://h/d%20b/k%20b", None, "postgresql://h/d%20b", "k b"),
        (
            "postgresql:///db/kb?host=/run&password=s&sslmode=require",
            "postgresql:///db/kb?host=/run&sslmode=require",
            "s",
            "postgresql:///db?host=/run&password=s&sslmode=require",
            "kb",
        ),
    ],
)
def test_an_address_and_how_it_is_shown(
    given: str, printed: str, password: str | None, secret: str, collection: str
) -> None:
    address = collection_address(given)
    assert isinstance(address, PostgresAddress)
    assert (str(address), address.password, address.secret_url) == (printed, password, secret)
    assert address.collection == collection
    assert collection_address(address) is address
    assert is_database(given)
    assert shown(given).rstrip("/") == printed
    with pytest.raises(InvalidInput, match="as a Path"):
        collection_address(Path(given))
    assert repr(address).count("p%2Fw") == 0
    assert address.environment() == ({} if password is None else {"PGPASSWORD": password})


def test_a_folder_is_an_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert collection_address("kb") == tmp_path / "kb"
    assert collection_address("odd:name") == tmp_path / "odd:name"
    assert not is_database("kb")


@pytest.mark.parametrize(
    ("given", "says", "hint"),
    [
        ("postgres://u:secret@h/db/kb", "postgres://u@h/db/kb", "write it as postgresql://u@h/db/kb"),
        ("postgresql+psycopg://u:secret@h/db/kb", "postgresql+psycopg", "write it as postgresql://u@h/db/kb"),
        ("postgres://u:secret@/db", "postgres://u@/db", "write it as postgresql://u@/db/NAME"),
        ("mysql://u:secret@h/db/kb", "mysql://u@h/db/kb", "name a folder"),
        ("postgresql://u:secret@h/db", "names no collection", "postgresql://u@h/db/NAME"),
        ("postgresql://u:secret@h", "names no collection", "postgresql://u@h/DATABASE/NAME"),
        ("postgresql://u:secret@h/db/a/b", "more than a collection", "postgresql://u@h/db/NAME"),
        ("postgresql://u:secret/x@h/db/kb", "postgresql://u@h/db/kb, with a character", "percent-encode"),
        ("postgresql://u:p@secret@h/db/kb", "postgresql://u@h/db/kb, with a character", "percent-encode"),
        ("postgresql://u:p?secret@h/db/kb", "postgresql://u@h/db/kb, with a character", "percent-encode"),
        ("postgresql://u:p?a/secret@x@h/db/kb", "postgresql://u@h/db/kb, with a character", "percent-encode"),
        ("postgresql://h/db/" + "é" * 40, "name", "shorter"),
        ("postgresql://h/db/pg_kb", "'pg_kb'", "another name"),
        ("postgresql://h/db/public", "'public'", "another name"),
    ],
)
def test_a_wrong_address_says_what_is_wrong_and_shows_no_password(given: str, says: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        collection_address(given)
    assert says in caught.value.message
    assert hint in caught.value.hint
    assert "secret" not in str(caught.value)


def test_where_a_machine_keeps_its_part(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GNOMON_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert data_home() == tmp_path / "data/gnomon"
    monkeypatch.setenv("GNOMON_HOME", str(tmp_path / "own"))
    assert data_home() == tmp_path / "own"
