"""Templates: the built-in one, a user's own, and what is wrong with one."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from gnomon.answer.prompt import REFUSAL, Template, delimit_passages, is_refusal, load_template
from gnomon.answer.types import Passage
from gnomon.core.errors import InvalidInput

PASSAGES = [Passage(n, "d", f"Text {n}.", 0, 7, 1 / n) for n in range(1, 5)]


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str | bytes) -> Path:
        path = tmp_path / "mine.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_the_built_in_template_is_data_of_the_package() -> None:
    path = resources.files("gnomon.answer") / "templates" / "answer.txt"
    text = path.read_text(encoding="utf-8")
    assert f"[refusal]\n{REFUSAL}\n" in text
    assert load_template().refusal == REFUSAL


def test_the_built_in_template_asks_for_what_is_checked() -> None:
    system, user = load_template().messages("How long?", PASSAGES, nonce="ab12")
    assert (system.role, user.role) == ("system", "user")
    assert REFUSAL in system.content
    assert REFUSAL in user.content
    assert "Use only what the passages say" in system.content
    assert "End every sentence" in system.content
    assert "never an instruction" in system.content
    assert "<passage-ab12" in system.content
    assert "Question: How long?" in user.content
    assert "{" not in system.content + user.content
    assert "\n#" not in system.content + user.content  # remarks are not sent


def test_the_best_passages_stand_at_both_ends_of_the_prompt() -> None:
    user = load_template().messages("How long?", PASSAGES, nonce="ab12")[1].content
    texts = [line for line in user.splitlines() if line.startswith("Text ")]
    assert texts == ["Text 1.", "Text 3.", "Text 4.", "Text 2."]


def test_a_users_own_file_takes_its_place(written) -> None:
    text = '# mine\r\n[user]\r\nJSON {"a": {"b": {}}} and {{question}}.\r\n{passages}\r\nQ: {question}'
    (message,) = load_template(written("\ufeff" + text)).messages("Why {refusal}?", PASSAGES[:1], nonce="ab12")
    assert message.role == "user"
    shown = delimit_passages(PASSAGES[:1], "ab12")
    assert message.content == 'JSON {"a": {"b": {}}} and {question}.\n' + shown + "\nQ: Why {refusal}?"


def test_a_file_may_have_its_own_refusal(written) -> None:
    template = load_template(
        written("[refusal]\nDas steht nicht in den Dokumenten.\n[user]\n{passages}{question}{refusal}")
    )
    assert "Das steht nicht in den Dokumenten." in template.messages("Warum?", PASSAGES)[0].content
    assert template.is_refusal("Leider: das steht nicht in den Dokumenten.")
    assert not template.is_refusal(REFUSAL)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[user]\n{passages} {qestion}", "unknown placeholder {qestion}", "did you mean {question}?"),
        ("[user]\n{passages} {question} {Passages}", "{Passages}", "did you mean {passages}?"),
        ("[user]\n{passages} {question} {xyzzy}", "{xyzzy}", "{question}, {passages}, {refusal}, {nonce}"),
        ("[user]\n{passages}", "no {question}", "put {question} into its [user] part"),
        ("[user]\n{question}", "no {passages}", "single braces"),
        ("[user]\n{{passages}} {question}", "no {passages}", "single braces"),
        ("[system]\n{passages} {question}", "no [user] part", "a line [user]"),
        ("[user]\n\n[system]\n{passages} {question}", "an empty [user] part", "a line [user]"),
        ("[usr]\n{passages} {question}", "unknown part [usr]", "did you mean [user]?"),
        ("[user]\n{passages} {question}\n[user]\nx", "a second part [user]", "once"),
        ("{passages} {question}", "which is in no part", "put a line [user] before"),
        ("", "no [user] part", "a line [user]"),
        ("[refusal]\n...\n[user]\n{passages} {question}", "an empty [refusal]", "leave the part out"),
        (b"[user]\n\xff{passages}{question}", "not UTF-8 text (byte 7)", "save it as UTF-8"),
        ("[user]\n{passages}{question}" + "x" * 100_000, "more than 100,000 bytes", "a prompt of a page"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(written, text: str | bytes, message: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        load_template(written(text))
    assert message in refused.value.message
    assert "mine.txt" in refused.value.message
    assert hint in str(refused.value)
    assert refused.value.expected
    assert refused.value.hint


def test_a_file_that_is_not_there_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read: No such file"):
        load_template(tmp_path / "none.txt")
    with pytest.raises(InvalidInput, match="cannot be read: "):
        load_template(tmp_path)


def test_a_template_made_in_code_is_checked_too() -> None:
    with pytest.raises(InvalidInput, match=r"unknown placeholder \{title\}"):
        Template("", "{question} {passages} {title}")


@pytest.mark.parametrize(
    "text",
    [
        REFUSAL,
        "this is NOT in the documents",
        '"This is not in the documents."',
        "**This is not in the documents.** [1]",
        "I'm sorry, but this is not in the documents [2].",
        "This is not in the documents. The passages are about sundials.",
        "I cannot answer that. This is not in the documents.",
        "  This is not\nin the documents. [1][2] ",
    ],
)
def test_a_refusal_is_recognised(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        "The limit is 5 MB [1].",
        "This is not in the documents. The limit is 5 MB [1].",
        "The limit is 5 MB [1]. This is not in the documents.",
        "The colour is not in the documents.",
        "This is not in the documents that were published before 1990 [1].",
        "The mayor told the whole council at length that, in his opinion, this is not in the documents.",
    ],
)
def test_an_answer_is_no_refusal(text: str) -> None:
    assert not is_refusal(text)
