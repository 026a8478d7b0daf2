"""Texts that are not what their author wrote, or that the model cannot read, are told from those that are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

import gnomon
from gnomon.core.documents import Document
from gnomon.core.token_counting import TokenCounting
from gnomon.testing import HashEncoder
from gnomon.text.quality import QualityTally, RepeatedLines, text_faults
from gnomon.text.token_counts import TokenCounter

SOUND = {
    "english": "An otter’s day: it swims — and eats “fish” — from 8 to 10 °C, for 5 € a piece.\n" * 20,
    "german": "Größere Gäste müssen über die Brücke, ›überall‹ schön grün; Straße Nº 5 kostet 3 €.\n" * 20,
    "french": "L’été « à côté » du château : naïve façade, cœur, Noël… Où êtes-vous ?\n" * 20,
    "polish": "Zażółć gęślą jaźń, późną nocą w Łodzi; źrebię śpi.\n" * 20,
    "russian": "Выдры плавают в реках и ручьях.\n" * 20,
    "chinese": "水獭在河里游泳，非常可爱。\n" * 20,
    "thai": "นากว่ายน้ำในแม่น้ำ\n" * 20,
    "arabic": "ثعالب الماء تسبح في النهر.\n" * 20,
    "vietnamese": "Rái cá bơi trong dòng sông và ăn cá mỗi ngày.\n" * 20,
    "symbols": "→ ☀ ✓ ½ × ≤ ∑ α β Ω 👩‍👧 █▓░ ┌─┐\n" * 20,
    "code": "def f(x):\n\treturn {'a': [x, ~x]}\r\n\f" * 20,
}


def kinds(text: str) -> list[str]:
    return [fault.kind for fault in text_faults(text)]


@pytest.mark.parametrize("name", SOUND)
def test_sound_texts_have_no_fault(name: str) -> None:
    assert kinds(SOUND[name]) == []


@pytest.mark.parametrize("name", ["german", "french", "polish", "russian", "vietnamese"])
@pytest.mark.parametrize("wrong", ["latin-1", "cp1252"])
def test_utf8_read_in_another_encoding_is_mojibake(name: str, wrong: str) -> None:
    assert "mojibake" in kinds(SOUND[name].encode().decode(wrong, errors="replace"))


def test_a_text_that_tells_of_mojibake_is_none() -> None:
    text = "Die Größe der Straße über München hinaus. " * 30
    assert kinds(f"{text} A wrong encoding shows as Ã¶ and Ã¼ and â€™ then. {text}") == []


@pytest.mark.parametrize("character", ["\x01", "\x1b", "\x7f", "\ufffd", "\ue012"])
def test_control_characters_and_those_of_no_meaning(character: str) -> None:
    assert kinds("An otter swims. " * 20 + character) == []
    assert kinds(f"An otter{character}swims{character}. " * 20) == ["control characters"]


def english() -> TokenCounter:
    words = ["[UNK]", *"otters swim in rivers and eat fish".split(), *"abcdefghijklmnopqrstuvwxyz.,"]
    tokenizer = Tokenizer(WordPiece({word: at for at, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = BertNormalizer(lowercase=True), BertPreTokenizer()
    return TokenCounter(TokenCounting(tokenizer.to_str()))


@pytest.mark.parametrize("name", ["chinese", "thai", "arabic", "russian"])
def test_a_script_that_the_model_does_not_know(name: str) -> None:
    (fault,) = text_faults(SOUND[name], english().unknown_share)
    assert fault.kind == "unknown tokens"
    assert "gnomon models" in fault.hint


def test_the_share_of_unknown_characters() -> None:
    share = english().unknown_share
    assert share("Otters swim in rivers, and eat fish.") == 0
    assert share("Otters swim in 水獭在河里游") == pytest.approx(6 / 18)
    assert share("") == 0


def test_faults_of_many_rows_are_counted() -> None:
    tally = QualityTally()
    for number in range(1_000):
        tally.add(Document(str(number), "\x01\x02otter" if number < 3 else "An otter."))
    (remark,) = tally.remarks()
    assert remark.reason.startswith("3 of 1,000 documents; in the first, 29% of its characters are control")


def test_lines_that_stand_on_most_pages() -> None:
    pages = [f"Confidential: internal use only\nPage {number} tells of otters.\n" for number in range(10)]
    starts = [sum(len(page) for page in pages[:at]) for at in range(10)]
    tally = QualityTally()
    tally.add(Document("a", "".join(pages), metadata={"pages": starts}))
    (remark,) = tally.remarks()
    assert remark.kind == "boilerplate"
    assert remark.reason == "the line 'Confidential: internal use only' stands in 10 of 10 pages"


def test_few_texts_have_no_boilerplate() -> None:
    lines = RepeatedLines()
    for _ in range(19):
        lines.add("Skip to the main content of this page")
    assert list(lines.remarks("files")) == []
    lines.add("Another text")
    assert [remark.kind for remark in lines.remarks("files")] == ["boilerplate"]


def test_an_index_run_names_the_files_and_doctor_counts_them(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "garbled.txt").write_text(SOUND["german"].encode().decode("latin-1"))
    (folder / "sound.txt").write_text(SOUND["german"])
    rows = [{"text": "An otter."}, {"text": SOUND["french"].encode().decode("cp1252", errors="replace")}]
    (folder / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    with gnomon.open(tmp_path / "kb", encoder=HashEncoder()) as kb:
        report = kb.index([folder])
        assert [(Path(each.path).name, each.kind, each.skipped) for each in report.problems] == [
            ("garbled.txt", "mojibake", False),
            ("rows.jsonl", "mojibake", False),
        ]
        assert report.indexed == 3
        (problem,) = kb.add({"id": "by hand", "text": SOUND["german"].encode().decode("latin-1")}).problems
        assert (problem.path, problem.kind) == ("by hand", "mojibake")
        (finding,) = [each for each in gnomon.doctor.examine(kb).findings if each.check == "mojibake"]
        assert finding.count == 3


def test_copied_lines_of_many_files_are_said_once(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(25):
        (folder / f"{number}.txt").write_text(f"Skip to the main content of this page\n\nNote {number}.\n")
    with gnomon.open(tmp_path / "kb", encoder=HashEncoder()) as kb:
        (problem,) = kb.index([folder]).problems
    assert (problem.kind, problem.path) == ("boilerplate", str(folder))
    assert "stands in 25 of 25 files" in problem.reason
