"""The prompt that an answer is written by: a plain text file, the built-in one or a user's own."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from gnomon.answer.context import prompt_order
from gnomon.answer.contracts import Message
from gnomon.answer.fence import fenced, fresh_nonce, neutralised
from gnomon.answer.values import Passage
from gnomon.core.errors import InvalidInput
from gnomon.evaluate.sentences import sentences

REFUSAL = "This is not in the documents."
"""What a language model is asked to say where the passages hold no answer."""
PLACEHOLDERS = ("question", "passages", "refusal", "nonce")
_NEEDED = ("question", "passages")
_PARTS = ("system", "user", "refusal")
_PART = re.compile(r"^\[([A-Za-z_]+)\][ \t]*$", re.MULTILINE)
# {{word}} stands for {word} itself; braces around anything but one word are the file's own.
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}|\{(\w+)\}")
_MARKER = re.compile(r"[\[【]\^?\d[\d\s,;–-]*[\]】]")
_WORD = re.compile(r"\w+")
_LEAD_IN = 8
"""Words that may stand before the fixed sentence: "I am sorry, but …"."""
_MOST_BYTES = 100_000


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt with places to fill in: {question}, {passages}, {refusal} and {nonce}.

    `refusal` is the sentence that says that the passages hold no answer. Raises InvalidInput for a
    placeholder that does not exist, and where {question} or {passages} is missing.
    """

    system: str
    user: str
    refusal: str = REFUSAL
    name: str = "the template"

    def __post_init__(self) -> None:
        used = [word for part in (self.system, self.user) for _, word in _PLACEHOLDER.findall(part) if word]
        for word in used:
            if word not in PLACEHOLDERS:
                raise _unknown(self.name, word)
        for word in _NEEDED:
            if word not in used:
                raise InvalidInput(
                    f"{self.name} has no {{{word}}}",
                    wanted=f"{' and '.join(f'{{{needed}}}' for needed in _NEEDED)}, where they are to stand",
                    next_step=f"put {{{word}}} into its [user] part, with single braces",
                )
        if not _WORD.search(self.refusal):
            raise InvalidInput(
                f"{self.name} has an empty [refusal]",
                wanted="a sentence that says that the documents do not hold the answer",
                next_step="write one, or leave the part out",
            )

    def messages(
        self, question: str, passages: Sequence[Passage], *, nonce: str | None = None
    ) -> list[Message]:
        """The prompt for a question: a system message (where there is one) and the user's.

        The best passages stand at both ends, each between marks with a nonce that is drawn anew for every
        request. What is filled in is never looked at for placeholders.
        """
        nonce = nonce or fresh_nonce([question, *(passage.text for passage in passages)])
        values = {
            "question": neutralised(question),
            "passages": fenced(prompt_order(passages), nonce),
            "refusal": self.refusal,
            "nonce": nonce,
        }
        system, user = _filled(self.system, values), _filled(self.user, values)
        return [*([Message("system", system)] if system else []), Message("user", user)]

    def is_refusal(self, text: str) -> bool:
        """Whether a reply says that the passages hold no answer."""
        return is_refusal(text, self.refusal)


def load_template(path: Path | None = None) -> Template:
    """The built-in template, or the one in a file.

    The file has a [user] part and may have [system] and [refusal], each headed by its name in brackets on a
    line. Lines before the first part that begin with # are remarks. Raises InvalidInput for a file that
    cannot be read, for parts and placeholders that are unknown, and for those that are missing.
    """
    if path is None:
        builtin = resources.files("gnomon.answer") / "templates" / "answer.txt"
        return _parsed(builtin.read_text(encoding="utf-8"), "the built-in template")
    return _parsed(_read(Path(path)), f"the template {path}")


def is_refusal(text: str, refusal: str = REFUSAL) -> bool:
    """Whether a reply says nothing but that the passages hold no answer.

    A sentence must end in the fixed one, with a few words before it at most, and no other may cite a passage.
    Case, punctuation and markers such as [1] within the sentence itself do not count.

    >>> is_refusal("I'm sorry, but this is not in the documents [2].")
    True
    >>> is_refusal("This is not in the documents. The limit is 5 MB [1].")
    False
    """
    wanted, length = _words(refusal), len(sentences(refusal))
    said = sentences(text)
    for at in range(len(said) - length + 1):
        words = _words(_MARKER.sub(" ", " ".join(said[at : at + length])))
        if words[-len(wanted) :] == wanted and len(words) <= len(wanted) + _LEAD_IN:
            others = said[:at] + said[at + length :]
            return not any(_MARKER.search(one) and _words(_MARKER.sub(" ", one)) for one in others)
    return False


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _filled(part: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda found: f"{{{found[1]}}}" if found[1] else values[found[2]], part).strip()


def _parsed(text: str, name: str) -> Template:
    found = list(_PART.finditer(text))
    before = text[: found[0].start()] if found else text
    if stray := [line for line in before.splitlines() if line.strip() and not line.startswith("#")]:
        raise InvalidInput(
            f"{name} begins with {stray[0][:60]!r}, which is in no part",
            wanted="lines [system] and [user], each before its part",
            next_step="put a line [user] before the text; remarks at the top begin with #",
        )
    ends = [*(part.start() for part in found[1:]), len(text)][: len(found)]
    parts: dict[str, str] = {}
    for part, end in zip(found, ends, strict=True):
        word = part[1].lower()
        if word not in _PARTS or word in parts:
            raise InvalidInput(
                f"{name} has {'a second' if word in parts else 'an unknown'} part [{part[1]}]",
                wanted=f"[system], [user] and [refusal], each once{_nearest(word, _PARTS, '[{}]')}",
                next_step="rename or join it; a line of the text itself that is one word in brackets "
                "needs something beside it",
            )
        parts[word] = text[part.end() : end].strip()
    if not parts.get("user"):
        raise InvalidInput(
            f"{name} has no [user] part" if "user" not in parts else f"{name} has an empty [user] part",
            wanted="a line [user], and below it a text with {passages} and {question}",
            next_step="begin with a copy of the built-in one, gnomon/answer/templates/answer.txt",
        )
    given = {"refusal": parts["refusal"]} if "refusal" in parts else {}
    return Template(parts.get("system", ""), parts["user"], name=name, **given)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InvalidInput(
            f"the template {path} cannot be read: {error.strerror or error}",
            wanted="a text file with the parts [system] and [user]",
            next_step="check the path, or leave it out for the built-in template",
        ) from error
    if len(raw) > _MOST_BYTES:
        raise InvalidInput(
            f"the template {path} has more than {_MOST_BYTES:,} bytes",
            wanted="a prompt of a page or so",
            next_step="check that the path is a template's",
        )
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"the template {path} is not UTF-8 text (byte {error.start})",
            wanted="a text file in UTF-8",
            next_step="save it as UTF-8",
        ) from error


def _unknown(name: str, word: str) -> InvalidInput:
    known = ", ".join(f"{{{known}}}" for known in PLACEHOLDERS)
    return InvalidInput(
        f"{name} has an unknown placeholder {{{word}}}",
        wanted=f"{known}{_nearest(word, PLACEHOLDERS, '{{{}}}')}",
        next_step=f"rename it, or write {{{{{word}}}}} for the text {{{word}}} itself",
    )


def _nearest(word: str, known: Sequence[str], shape: str) -> str:
    near = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.5)
    return f"; did you mean {shape.format(near[0])}?" if near and near[0] != word else ""
