"""Query rewriting by a language model (follow-ups, HyDE, other wordings), and the retrieval that uses it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from importlib.resources import files

from gnomon.answer.prompt import fresh_nonce, neutralise
from gnomon.answer.query_encoder import QueryTransformEncoder, query_prompts
from gnomon.answer.settings import AskSettings
from gnomon.answer.types import ChatModel, Message, Turn
from gnomon.collection import Collection
from gnomon.collection.duplicates import DistinctPassages
from gnomon.core.contracts import Retriever
from gnomon.core.errors import GenerationFailed, InvalidInput
from gnomon.core.ranking import Query, Ranking
from gnomon.retrieve.fuse import Fuse, FuseSettings

MAX_SHOWN_TURNS = 4
"""Turns of the conversation that the prompt shows."""
MAX_PREPENDED = 2
"""Previous questions that the rule without a language model puts before one."""
MAX_REWORDINGS = 10
"""However many are wanted: each is a search of its own."""
MAX_QUESTION_LENGTH, _MAX_ANSWER_LENGTH, _MAX_PASSAGE_LENGTH = 500, 600, 4000
"""Characters of a rewritten question, of a previous answer in the prompt, and of a hypothetical passage."""
_TOKENS = {"standalone": 200, "hyde": 256}
_TOKENS_PER_REWORDING = 60
_DEPENDENT = re.compile(
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


def rewrite_standalone(question: str, history: Sequence[Turn], chat: ChatModel | None) -> str:
    """The question as it can be understood without the conversation before it.

    A language model rewrites it. Without one a rule that knows some English puts the previous question before
    one that depends on it: that begins with "and", "what about" and the like, has a pronoun or ends in one, or
    has at most two words (in any language); and before that one the one on which it depends itself.
    Raises GenerationFailed where the model fails, or writes nothing, something far too long, or something
    that has no word with the conversation in common: call it without a model then.
    """
    question = question.strip()
    if not history:
        return question
    if chat is None:
        return _prepend_previous(question, history)
    shown = history[-MAX_SHOWN_TURNS:]
    turns = "\n\n".join(
        f"Asked: {_shorten(q, MAX_QUESTION_LENGTH)}\nAnswered: {_shorten(a, _MAX_ANSWER_LENGTH)}" for q, a in shown
    )
    data = {"conversation": turns, "question": question}
    reply, error = _complete(chat, "standalone", data, max_tokens=_TOKENS["standalone"])
    if error is not None:
        raise error
    line = next((line for line in reply.splitlines() if line.strip()), "").strip()
    line = _LABEL.sub("", line, count=1) if _LABEL.match(line) else line
    line = line.strip(_QUOTES)
    if len(line) > max(MAX_QUESTION_LENGTH, 2 * len(question)) or not _shares_words(line, f"{turns} {question}"):
        raise _unusable_reply(chat, "the question, rewritten", reply)
    return line


def expand_query(question: str, chat: ChatModel, settings: AskSettings) -> tuple[str, ...]:
    """What to search with beside the question: one passage that might answer it (hyde), or the question in
    at most `settings.expansions` and MOST_REWORDINGS other wordings (multi); nothing with "none".

    hyde is Gao et al. 2022 (arXiv:2212.10496), with one passage. A reply that breaks off is used as far as
    it came. Raises GenerationFailed where nothing usable came.
    """
    if settings.expand == "none":
        return ()
    data = {"question": question}
    if settings.expand == "hyde":
        reply, error = _complete(chat, "hyde", data, max_tokens=_TOKENS["hyde"])
        passage = " ".join(reply.split())[:_MAX_PASSAGE_LENGTH]
        if not passage:
            raise error or _unusable_reply(chat, "a passage", reply)
        return (passage,)
    count = min(settings.expansions, MAX_REWORDINGS)
    reply, error = _complete(chat, "multi", data, max_tokens=_TOKENS_PER_REWORDING * count, count=str(count))
    lines = reply.splitlines()
    found = _rewordings(lines[:-1] if error is not None else lines, question)
    if not found:
        raise error or _unusable_reply(chat, f"{count} questions, one a line", reply)
    return found[:count]


def retrieve(kb: Collection, question: str, settings: AskSettings, *, expanded: Sequence[str] = ()) -> Ranking:
    """The chunks for a question, `settings.context.candidates` of them.

    `expanded` comes from `expand_query`. A passage of hyde moves the question's vector; the keywords stay the
    question's. Rewordings are searched for each by itself, in the same mode; their scores are scaled to 0 to 1
    and added: half the weight is the question's, the rest is shared. The stages are the question's own. An
    instruction replaces the task in the model's query prompt. Without all these it is the ranking of
    `kb.retriever`.
    Raises InvalidInput for an empty question, for an instruction that the model has no place for, for an
    instruction or hyde in a search by words alone, and as `kb.retriever` does.
    """
    if not question.strip():
        raise InvalidInput("an empty question", expected="some words to look for")
    texts = tuple(text for text in expanded if text.strip())
    passages = texts if settings.expand == "hyde" else ()
    reworded = () if settings.expand == "hyde" else texts
    retriever = _retriever(kb, settings, passages)
    if reworded:
        weights = (*[0.5 / len(reworded)] * len(reworded), 0.5)
        # The question's part comes last: of stages with one name the last is kept.
        parts = (*(_QueryTextOverride(retriever, text) for text in reworded), retriever)
        depth = kb.version.retrieval.fuse.depth
        retriever = Fuse(parts, FuseSettings("min-max", weights, depth))
    distinct = DistinctPassages(retriever, kb.internals.catalog)
    return distinct([Query(question)], k=settings.context.candidates)[0]


@dataclass(frozen=True)
class _QueryTextOverride:
    """Searches for another text than the query's; the query's filter holds."""

    retriever: Retriever
    text: str

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        return self.retriever([replace(query, text=self.text) for query in queries], k=k)


def _retriever(kb: Collection, settings: AskSettings, passages: tuple[str, ...]) -> Retriever:
    """The collection's retriever, or one whose query vectors are transformed."""
    instruction = (settings.instruction or "").strip()
    if not passages and not instruction:
        return kb.retriever(settings.mode, where=settings.where)
    mode = settings.mode or kb.version.retrieval.mode
    if mode in ("lexical", "sparse"):
        raise InvalidInput(
            f"{'an instruction' if instruction else 'hyde'} in a search by words alone",
            expected="a search by vectors, which instructions and hypothetical passages are for",
            hint="search in mode hybrid or dense, or leave them out",
        )
    prompts = query_prompts(kb, instruction) if instruction else None
    encoder = QueryTransformEncoder(kb.encoder, passages, prompts)
    return kb.internals.snapshot().retriever(mode, settings.where, lambda: encoder)


def _prepend_previous(question: str, history: Sequence[Turn]) -> str:
    chain = [question]
    for previous, _ in reversed(history[-MAX_PREPENDED:]):
        if not _depends_on_previous(chain[0]):
            break
        chain.insert(0, previous.strip())
    return " ".join(chain).strip()


def _depends_on_previous(question: str) -> bool:
    return len(question.split()) <= _SHORT or _DEPENDENT.match(question.strip()) is not None


def _shares_words(text: str, conversation: str) -> bool:
    """Whether some word of a text, or two letters in a row of one not in ASCII, are in the conversation."""
    conversation = conversation.casefold()
    words = re.findall(r"\w+", text.casefold())
    parts = (word[at : at + 2] for word in words if not word.isascii() for at in range(max(1, len(word) - 1)))
    return any(word in conversation for word in words if len(word) > 3) or any(part in conversation for part in parts)


def _complete(
    chat: ChatModel, template: str, data: Mapping[str, str], *, max_tokens: int, **filled: str
) -> tuple[str, GenerationFailed | None]:
    """The model's reply, and the error that ended it, if one did."""
    nonce = fresh_nonce(data.values())
    system = files("gnomon.answer").joinpath("templates", f"{template}.txt").read_text(encoding="utf-8")
    for name, value in {**filled, "nonce": nonce}.items():
        system = system.replace(f"{{{name}}}", value)
    delimited = (f"<{tag}-{nonce}>\n{neutralise(one).strip()}\n</{tag}-{nonce}>" for tag, one in data.items())
    messages = [Message("system", system.strip()), Message("user", "\n\n".join(delimited))]
    text = ""
    try:
        with closing(chat.stream(messages, max_tokens=max_tokens)) as reply:
            for piece in reply:
                text += piece
                if len(text) > _MAX_PASSAGE_LENGTH:  # a model that does not heed its limit
                    break
    except GenerationFailed as error:
        return text, error
    return text, None


def _rewordings(lines: Sequence[str], question: str) -> tuple[str, ...]:
    found: dict[str, str] = {}
    known = _folded(question)
    for line in lines:
        text = _BULLET.sub("", line.strip(), count=1) if _BULLET.match(line.strip()) else line.strip()
        text = text.strip(_QUOTES)
        usable = text and len(text) <= MAX_QUESTION_LENGTH and not text.endswith(":") and _folded(text)
        if usable and _folded(text) != known:
            found.setdefault(_folded(text), text)
    return tuple(found.values())


def _folded(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _unusable_reply(chat: ChatModel, expected: str, reply: str) -> GenerationFailed:
    shown = _shorten(" ".join("".join(c if c.isprintable() else " " for c in reply).split()), 120)
    return GenerationFailed(
        f"{chat.name} wrote {shown!r}" if shown else f"{chat.name} wrote nothing",
        expected=expected,
        hint="use a model that follows instructions better, or leave this out",
    )
