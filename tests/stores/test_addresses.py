"""Addresses of stores, which catalogs keep: no password and no key is taken, or shown."""

import pytest

from gnomon.core.errors import InvalidInput
from gnomon.stores import StoreAddress


@pytest.mark.parametrize(
    "text",
    [
        "qdrant://u:secret@h:6333",
        "qdrant://u:secret/x@h:6333",
        "qdrant://u:p@secret@h",
        "qdrant://u:p?secret@h",
        "qdrant://h:6333?api_key=secret",
        "pinecone://?key=secret&namespace=a",
        "pgvector://u@h/db?password=secret",
        "postgres://u:secret@h/db",
        "qdrant://u:secret@h:port",
    ],
)
def test_an_address_with_a_secret_is_refused_and_the_secret_is_not_shown(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        StoreAddress.parse(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["lancedb:///data/a@b", "pgvector://u@h/db?sslmode=require", "qdrant://h:6333?tls=true"]
)
def test_one_without_is_taken(text: str) -> None:
    assert StoreAddress.parse(text).text == text
