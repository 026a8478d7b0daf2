"""From what a user asks to what is found: follow-ups made whole, questions in other words, the search."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from importlib.resources import files

from gnomon.answer.prompt import fresh_nonce, neutralised
from gnomon.answer.query_encoder import Aimed, prompts_for
from gnomon.answer.settings import AskSettings
from gnomon.answer.types import ChatModel, Message, Turn
from gnomon.collection import Collection
from gnomon.collection.search import build_retriever
from gnomon.core.contracts import Retriever
from gnomon.core.errors import GenerationFailed, InvalidInput
from gnomon.core.ranking import Query, Ranking
from gnomon.retrieve.filter import Filter
from gnomon.retrieve.fuse import Fuse, FuseSettings

SHOWN_TURNS = 4
"""Turns of a conversation that a language model is shown."""
CHAINED = 2
"""Former questions that the rule without a language model puts before one."""
MOST_REWORDINGS = 10
"""However many are asked for: each is a search of its own."""
LONGEST_QUESTION, _LONGEST_ANSWER, _LONGEST_PASSAGE = 500, 600, 4000
"""Characters of a rewritten question, of a former answer that is shown, and of a passage."""
_TOKENS = {"standalone": 200, "hyde": 256}
_TOKENS_A_REWORDING = 60
_LEANS = re.compile(
    r"(?:and|but|or|so|then|also|what about|how about|why not|what else|any other)\b"
    r"|.*\b(?:it|its|they|them|their|theirs|he|him|his|she|hers?|this|these|those"
    r"|the (?:same|former|latter|others?))\b"
    r"|.*\b(?:that|there|then|so)\W*\Z",
    re.IGNORECASE | re.DOTALL,
)
_SHORT = 2
_LABEL = re.compile(r"(?:the )?(?:standalone|rewritten|search|final)?\s*(?:question|query)\s*:\s*", re.IGNORECASE)
_BULLET = re.compile(r"(?:[-*•–—]|\(?\d{1,2}\s*[.):]|\(?[a-z]\)|q\d{0,2}\s*:)\s*", re.IGNORECASE)
_QUOTES = "\"'`“”„«»*_ "


def standalone(question: str, history: Sequence[Turn], chat: ChatModel | None) -> str:
    """The question as it can be understood without the conversation before it.

    With a language model it is rewritten. Without one a rule that knows some English puts the former
    question before one that leans on it: that begins with "and", "what about" and the like, has a pronoun
    or ends in one, or has at most two words (this holds for any language); and before that one the one on
    which it leans itself.
    Raises GenerationFailed where the model fails, or writes nothing, something far too long, or something
    that has no word with the conversation in common: call it without a model then.
    """
    question = question.strip()
    if not history:
        return question
    if chat is None:
        return _chained(question, history)
    shown = history[-SHOWN_TURNS:]
    turns = "\n\n".join(
        f"Asked: {_first(q, LONGEST_QUESTION)}\nAnswered: {_first(a, _LONGEST_ANSWER)}" for q, a in shown
    )
    data = {"conversation": turns, "question": question}
    said, error = _said(chat, "standalone", data, max_tokens=_TOKENS["standalone"])
    if error is not None:
        raise error
    line = next((line for line in said.splitlines() if line.strip()), "").strip()
    line = _LABEL.sub("", line, count=1) if _LABEL.match(line) else line
    line = line.strip(_QUOTES)
    if len(line) > max(LONGEST_QUESTION, 2 * len(question)) or not _is_about(line, f"{turns} {question}"):
        raise _no_use(chat, "the question, rewritten", said)
    return line


def expansions(question: str, chat: ChatModel, settings: AskSettings) -> tuple[str, ...]:
    """What to search with beside the question: one passage that might answer it (hyde), or the question in
    at most `settings.expansions` and MOST_REWORDINGS other wordings (multi); nothing with "none".

    hyde is Gao et al. 2022 (arXiv:2212.10496), with one passage. A reply that breaks off is used as far as
    it came. Raises GenerationFailed where nothing usable came.
    """
    if settings.expand == "none":
        return ()
    data = {"question": question}
    if settings.expand == "hyde":
        said, error = _said(chat, "hyde", data, max_tokens=_TOKENS["hyde"])
        passage = " ".join(said.split())[:_LONGEST_PASSAGE]
        if not passage:
            raise error or _no_use(chat, "a passage", said)
        return (passage,)
    count = min(settings.expansions, MOST_REWORDINGS)
    said, error = _said(chat, "multi", data, max_tokens=_TOKENS_A_REWORDING * count, count=str(count))
    lines = said.splitlines()
    found = _rewordings(lines[:-1] if error is not None else lines, question)
    if not found:
        raise error or _no_use(chat, f"{count} questions, one a line", said)
    return found[:count]


def find(kb: Collection, question: str, settings: AskSettings, expanded: Sequence[str] = ()) -> Ranking:
    """The chunks for a question, `settings.context.candidates` of them.

    `expanded` is what `expansions` gave. A passage of hyde moves the question's vector; the words that are
    searched for stay the question's. Rewordings are searched for each by itself, in the same mode; their
    rankings are stretched to 0 to 1 and added: half the weight is the question's, the rest is shared. The
    stages are the question's own. An instruction is put in the place of the task in the model's query prompt.
    Without all these it is what `kb.retriever` finds.
    Raises InvalidInput for an empty question, for an instruction that the model has no place for, for an
    instruction or hyde in a search by words alone, and as `kb.retriever` does.
    """
    if not question.strip():
        raise InvalidInput("an empty question", expected="some words to look for")
    texts = tuple(text for text in expanded if text.strip())
    aimed = texts if settings.expand == "hyde" else ()
    reworded = () if settings.expand == "hyde" else texts
    retriever = _retriever(kb, settings, aimed)
    if reworded:
        weights = (*[0.5 / len(reworded)] * len(reworded), 0.5)
        # The question's part comes last: of stages with one name the last is kept.
        parts = (*(_Instead(retriever, text) for text in reworded), retriever)
        depth = kb.version.retrieval.fuse.depth
        retriever = Fuse(parts, FuseSettings("min-max", weights, depth))
    return retriever([Query(question)], k=settings.context.candidates)[0]


@dataclass(frozen=True)
class _Instead:
    """Asks for another text than the query's; what the query allows holds."""

    retriever: Retriever
    text: str

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        return self.retriever([replace(query, text=self.text) for query in queries], k=k)


def _retriever(kb: Collection, settings: AskSettings, passages: tuple[str, ...]) -> Retriever:
    """The retriever that serves, or one whose dense part is aimed elsewhere."""
    instruction = (settings.instruction or "").strip()
    if not passages and not instruction:
        return kb.retriever(settings.mode, where=settings.where)
    mode = settings.mode or kb.version.retrieval.mode
    if mode == "lexical":
        raise InvalidInput(
            f"{'an instruction' if instruction else 'hyde'} in a search by words alone",
            expected="a search by vectors, which instructions and hypothetical passages are for",
            hint="search in mode hybrid or dense, or leave them out",
        )
    prompts = prompts_for(kb, instruction) if instruction else None
    view = kb.internals.indexes
    allowed = None if settings.where is None else kb.chunk_ids(settings.where)
    found = build_retriever(
        mode,
        kb.version.retrieval,
        encoder=Aimed(kb.encoder, passages, prompts),
        dense=view.dense,
        lexical=view.lexical,
        lookups=kb.internals.lookups(),
    )
    found = kb.internals.rerank(found)
    return found if allowed is None else Filter(found, allowed)


def _chained(question: str, history: Sequence[Turn]) -> str:
    chain = [question]
    for asked, _ in reversed(history[-CHAINED:]):
        if not _leans(chain[0]):
            break
        chain.insert(0, asked.strip())
    return " ".join(chain).strip()


def _leans(question: str) -> bool:
    return len(question.split()) <= _SHORT or _LEANS.match(question.strip()) is not None


def _is_about(text: str, told: str) -> bool:
    """Whether some word of a text, or two letters in a row of one not in ASCII, stand in what was told."""
    told = told.casefold()
    words = re.findall(r"\w+", text.casefold())
    parts = (word[at : at + 2] for word in words if not word.isascii() for at in range(max(1, len(word) - 1)))
    return any(word in told for word in words if len(word) > 3) or any(part in told for part in parts)


def _said(
    chat: ChatModel, template: str, data: Mapping[str, str], *, max_tokens: int, **filled: str
) -> tuple[str, GenerationFailed | None]:
    """What the model writes, and the error that ended it, if one did."""
    nonce = fresh_nonce(data.values())
    text = files("gnomon.answer").joinpath("templates", f"{template}.txt").read_text(encoding="utf-8")
    for name, value in {**filled, "nonce": nonce}.items():
        text = text.replace(f"{{{name}}}", value)
    fenced = (f"<{tag}-{nonce}>\n{neutralised(one).strip()}\n</{tag}-{nonce}>" for tag, one in data.items())
    messages = [Message("system", text.strip()), Message("user", "\n\n".join(fenced))]
    said = ""
    try:
        with closing(chat.stream(messages, max_tokens=max_tokens)) as reply:
            for piece in reply:
                said += piece
                if len(said) > _LONGEST_PASSAGE:  # a model that does not heed its limit
                    break
    except GenerationFailed as error:
        return said, error
    return said, None


def _rewordings(lines: Sequence[str], question: str) -> tuple[str, ...]:
    found: dict[str, str] = {}
    known = _folded(question)
    for line in lines:
        text = _BULLET.sub("", line.strip(), count=1) if _BULLET.match(line.strip()) else line.strip()
        text = text.strip(_QUOTES)
        usable = text and len(text) <= LONGEST_QUESTION and not text.endswith(":") and _folded(text)
        if usable and _folded(text) != known:
            found.setdefault(_folded(text), text)
    return tuple(found.values())


def _folded(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _first(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _no_use(chat: ChatModel, expected: str, said: str) -> GenerationFailed:
    shown = _first(" ".join("".join(c if c.isprintable() else " " for c in said).split()), 120)
    return GenerationFailed(
        f"{chat.name} wrote {shown!r}" if shown else f"{chat.name} wrote nothing",
        expected=expected,
        hint="use a model that follows instructions better, or leave this out",
    )
