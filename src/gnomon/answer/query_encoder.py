"""Query transforms: an instruction before the query, or hypothetical passages (HyDE) added to its vector."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from gnomon.collection import Collection
from gnomon.core.contracts import DelegatingEncoder, Encoder, Role
from gnomon.core.errors import GnomonError, InvalidInput
from gnomon.core.similarity import normalise
from gnomon.core.vectors import Vectors
from gnomon.encode.hub.cache import SourceSettings
from gnomon.encode.hub.locate import locate
from gnomon.encode.layout.files import read_json
from gnomon.encode.layout.prompts import resolve_prompts
from gnomon.kernels.feedback import rocchio
from gnomon.kernels.similarity import paired_cosines

_SLOTS = (  # E5-instruct, Qwen3-Embedding, gte-Qwen2 and others; EmbeddingGemma
    re.compile(r"(?P<before>Instruct:\s*)(?P<task>\S[^\n]*)(?P<after>\n\s*Query:\s*)\Z"),
    re.compile(r"(?P<before>task:\s*)(?P<task>\S[^|\n]*?)(?P<after>\s*\|\s*query:\s*)\Z"),
)
_MIN_SAME_COSINE = 0.999
"""The lowest cosine of two vectors of one text: bf16 and fp32 differ by less than 0.0005."""
_MAX_TRUNCATIONS = 8


@dataclass(frozen=True)
class QueryPrompts:
    """The model's query prompt, and the one with another instruction."""

    original: str
    instructed: str


@dataclass(frozen=True)
class QueryTransformEncoder(DelegatingEncoder):
    """A collection's encoder with transformed query vectors, in the same space: keeps `Encoder`.

    With `passages` a query's vector is the mean of its own and of theirs, as in HyDE (Gao et al. 2022,
    arXiv:2212.10496): they are written as documents are, so they are encoded as documents. With `prompts`
    queries are encoded behind another prompt; what documents are compared with stays what the model makes,
    so the space is the same. That only the prompt differs is checked with every query.
    """

    encoder: Encoder
    passages: tuple[str, ...] = ()
    prompts: QueryPrompts | None = None

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """Documents unchanged, queries transformed.

        Raises InvalidInput where the model's queries are not what its documents are behind the prompt.
        """
        if role != "query" or not texts:
            return self.encoder.encode(texts, role=role)
        self.space.require_one_vector("a query transform")
        own = self.encoder.encode(texts, role="query")
        if self.prompts is not None:
            own = self._with_instruction(texts, own, self.prompts)
        return self._with_passages(own) if self.passages else own

    def _with_instruction(self, texts: Sequence[str], own: Vectors, prompts: QueryPrompts) -> Vectors:
        both = [prompts.original + text for text in texts] + [prompts.instructed + text for text in texts]
        made = self.encoder.encode(both, role="document").data
        known, instructed = made[: len(texts)], made[len(texts) :]
        if (paired_cosines(known, own.data) < _MIN_SAME_COSINE).any():
            raise _no_instruction(
                self.space.name,
                "its query vectors are not what it makes of prompt and query as one text: documents have a "
                "prompt too, queries a tower of their own, or it was loaded with other prompts",
            )
        return Vectors(instructed, self.space)

    def _with_passages(self, own: Vectors) -> Vectors:
        cut = [_truncate(text, self.encoder) for text in self.passages]
        written = self.encoder.encode(cut, role="document").data
        rows = np.array(own.data)
        for row in rows:
            # The mean of the query and n passages: theirs has n parts of n + 1.
            mean = rocchio(row, written, alpha=1.0, beta=float(len(written)))
            if self.space.similarity != "cosine":
                row[:] = mean
            elif mean.any():  # opposite vectors may cancel out: then there is no direction to move in
                row[:] = normalise(mean[None])[0]
        return Vectors(rows, self.space)


def query_prompts(kb: Collection, instruction: str) -> QueryPrompts:
    """The collection's query prompt with `instruction` in the place of its task.

    Raises InvalidInput where the model's query prompt has no place for a task, or is not known.
    """
    name = kb.version.model
    try:
        own = _query_prompt(name)
    except GnomonError as error:
        raise _no_instruction(name, f"its query prompt is not known ({error.message})") from error
    return instructed_prompt(name, own, instruction)


def instructed_prompt(name: str, own: str, instruction: str) -> QueryPrompts:
    """The prompt `own` with `instruction` in the place of its task. Raises InvalidInput where it has none."""
    for slot in _SLOTS:
        if found := slot.fullmatch(own):
            task = " ".join(instruction.split())
            return QueryPrompts(own, found["before"] + task + found["after"])
    what = f"its query prompt {own!r} has no place for one" if own else "it has no query prompt"
    raise _no_instruction(name, what)


@lru_cache(maxsize=8)
def _query_prompt(model: str) -> str:
    """The prompt before queries that the model's own files or its card give; nothing is fetched."""
    located = locate(model, replace(SourceSettings.from_environment(), offline=True))
    config = read_json(located.folder / "config_sentence_transformers.json")
    return resolve_prompts(model, config, card=located.card, overrides=None)["query"]


def _no_instruction(name: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"an instruction for {name}: {why}",
        expected='a model that was trained with tasks in its query prompt, such as "Instruct: …\\nQuery: "',
        hint="leave the instruction out, or index with an instruction-tuned model",
    )


def _truncate(text: str, encoder: Encoder) -> str:
    """As much of a text as the encoder reads: generated text is truncated without a warning."""
    for _ in range(_MAX_TRUNCATIONS):
        count = encoder.count_tokens([text], role="document")[0]
        if count <= encoder.max_tokens or len(text) < 2:
            break
        text = text[: max(1, int(len(text) * encoder.max_tokens / count * 0.95))]
    return text
