"""Sound but odd files are read and chunked in time that grows with their size, or refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import BertPreTokenizer

from gnomon.core.token_counting import TokenCounting
from gnomon.text.chunk import ChunkSettings
from gnomon.text.discover import discover
from gnomon.text.parts import FailedFile
from gnomon.text.read import read
from gnomon.text.settings import ReadSettings
from gnomon.text.worker import Request, Setup
from gnomon.text.worker_process import FileReader
from support.odd_files import FILES

REFUSED = {"lists.jsonl": "recursion", "numbers.jsonl": "digits"}
"""Files that cannot be read, with a word of the reason."""


@pytest.fixture(scope="module")
def counting() -> TokenCounting:
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["[UNK]", "otters", "rivers", *letters, *(f"##{letter}" for letter in letters)]
    tokenizer = Tokenizer(WordPiece({word: at for at, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = BertPreTokenizer()
    return TokenCounting(tokenizer.to_str())


@pytest.fixture
def reader() -> Iterator[FileReader]:
    made = FileReader()
    yield made
    made.close()


def outcomes(reader: FileReader, folder: Path, settings: ReadSettings, counting: TokenCounting) -> dict[str, str]:
    """What became of each file of a folder, by name: "read", or why not."""
    setup = Setup(settings, (ChunkSettings(64, 8), counting))
    requests = [Request(found, None) for found in discover([folder], settings=settings)]
    found = {}
    for item in reader.read(requests, setup):
        if isinstance(item, FailedFile):
            found[Path(item.path).name] = item.error.message
        elif item.last:
            found.setdefault(Path(item.source.path).name, "read")
    return found


def test_odd_files_are_read_or_refused(reader: FileReader, tmp_path: Path, counting: TokenCounting) -> None:
    for name, make in FILES.items():
        (tmp_path / name).write_bytes(make(6_000))
    found = outcomes(reader, tmp_path, ReadSettings(), counting)
    assert set(found) == set(FILES)
    refused = {name: message for name, message in found.items() if message != "read"}
    assert set(refused) == set(REFUSED)
    assert all(REFUSED[name] in message for name, message in refused.items())


def test_a_long_line_of_restructured_text_is_read(tmp_path: Path) -> None:
    words = "Otters swim in rivers. " * 1_000
    (tmp_path / "a.rst").write_text(f"Otters\n======\n\n{words}\n\nThe end.\n")
    (found,) = discover([tmp_path], settings=ReadSettings())
    (document,) = read(found, settings=ReadSettings())
    assert document.text == f"# Otters\n\n{words.strip()}\n\nThe end."


@pytest.mark.slow
@pytest.mark.timeout(2_000)
def test_large_odd_files_are_read_or_given_up(reader: FileReader, tmp_path: Path, counting: TokenCounting) -> None:
    for name, make in FILES.items():
        (tmp_path / name).write_bytes(make(20_000_000))
    (tmp_path / "zz.txt").write_text("The last one.")
    found = outcomes(reader, tmp_path, ReadSettings(max_file_s=10), counting)
    assert set(found) == {*FILES, "zz.txt"}
    assert found["zz.txt"] == "read"
