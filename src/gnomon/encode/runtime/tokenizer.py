"""Texts to token ids, with the model's own tokenizer and the role's prompt."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.contracts import Role
from gnomon.core.errors import InvalidInput, ModelUnsupported, TruncatedText
from gnomon.core.token_counting import TokenCounting
from gnomon.encode.layout.fingerprint import is_changed
from gnomon.encode.layout.tokenizer_config import TokenizerConfig, TruncationSide, read_tokenizer_config
from gnomon.encode.settings import available_cpus

ROLES: tuple[Role, ...] = get_args(Role)
SLICE_TEXTS = 256  # texts tokenised at a time: the tokenizer's own objects take 20 KB a text


@dataclass(frozen=True, eq=False)
class TokenVectors:
    """A text's token vectors: the last hidden state, not normalised, special tokens and prompt left out.

    `offsets` are each token's start and end in the text, in characters; `tokens` the vocabulary's strings.
    """

    vectors: Float[np.ndarray, "tokens dim"]
    offsets: Int[np.ndarray, "tokens 2"]
    tokens: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class TokenisedTexts:
    """Token ids of each text as the encoder reads them, and their number before truncation."""

    ids: list[Int[np.ndarray, " _"]]
    counts: list[int]

    def filled(self, token: int) -> TokenisedTexts:
        """The same with this one token in place of none."""
        one = np.array([token], dtype=np.int32)
        return TokenisedTexts([row if len(row) else one for row in self.ids], self.counts)

    def lengthened(self, token: int, length: int) -> TokenisedTexts:
        """The same with this token after each text's own, `length` tokens in all."""
        rows = [np.pad(row, (0, max(0, length - len(row))), constant_values=token) for row in self.ids]
        return TokenisedTexts(rows, self.counts)


class TextTokenizer:
    """A tokenizer.json with gnomon's truncation and no padding; the file's own settings of both are dropped.

    `max_tokens` None: nothing is truncated. `special` False: without special tokens, and by tokenizer.json alone,
    as static models are read; else the options beside the file hold too. Safe to use from several threads.
    Raises ModelUnsupported for a file that is not a tokenizer.
    """

    def __init__(
        self,
        file: Path,
        *,
        prompts: Mapping[str, str],
        max_tokens: int | None,
        threads: int,
        special: bool = True,
    ) -> None:
        self._file, self._prompts = file, prompts
        self._threads, self._special = threads, special
        self._config = read_tokenizer_config(file) if special else None
        self._tokenizer = load_tokenizer(file, self._config)
        self._special_count = self._tokenizer.num_special_tokens_to_add(False) if special else 0
        if max_tokens is None:
            return
        if max_tokens <= self._special_count:
            raise ModelUnsupported(
                f"a limit of {max_tokens} tokens, {self._special_count} of which are special tokens",
                expected="room for at least one token of text",
                hint=f"correct max_seq_length in {file.parent}",
            )
        self._tokenizer.enable_truncation(max_tokens, direction=truncation_side(self._config))
        for role in ROLES:
            self._require_room_after_prompt(role, max_tokens)

    @property
    def json(self) -> str:
        """The tokenizer in JSON, without truncation and padding."""
        return str(load_tokenizer(self._file, self._config).to_str())

    def counting(self, role: Role) -> TokenCounting:
        """How `tokenise` counts the texts of a role, as a value."""
        return TokenCounting(self.json, prompt=self.prompt(role), special_tokens=self._special)

    @property
    def vocabulary(self) -> int:
        """How many ids it can give, added tokens included."""
        return int(self._tokenizer.get_vocab_size())

    @property
    def unknown_id(self) -> int | None:
        """The id of unknown tokens; None where there is none."""
        model = self._tokenizer.model
        unknown = getattr(model, "unk_token", None)
        if unknown is not None:
            found = self._tokenizer.token_to_id(unknown)
            return None if found is None else int(found)
        # The library's Unigram model shows its unk_id only where it is written out.
        unk_id = json.loads(model.__getstate__()).get("unk_id")
        return None if unk_id is None else int(unk_id)

    def id_of(self, token: str) -> int | None:
        """The id of a token of the vocabulary; None where there is none."""
        found = self._tokenizer.token_to_id(token)
        return None if found is None else int(found)

    def tokenise(self, texts: Sequence[str], *, role: Role) -> TokenisedTexts:
        """Each text's ids, the role's prompt before it, truncated to the limit."""
        ids: list[Int[np.ndarray, " _"]] = []
        counts: list[int] = []
        for encodings in self._slices(texts, self.prompt(role)):
            for encoding in encodings:
                row = np.array(encoding.ids, dtype=np.int32)
                ids.append(row)
                counts.append(len(row) + self._overflow(encoding))
        return TokenisedTexts(ids, counts)

    def spans(self, text: str, *, role: Role) -> tuple[Int[np.ndarray, " kept"], Int[np.ndarray, "kept 2"]]:
        """Positions of the text's own tokens among its ids, and their characters in `text`."""
        prompt = self.prompt(role)
        encoding = self._tokenizer.encode(prompt + text, add_special_tokens=self._special)
        offsets = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
        own = np.array(encoding.special_tokens_mask, dtype=np.int64) == 0
        if prompt:
            own &= offsets[:, 1] > len(prompt)
        kept = np.flatnonzero(own)
        return kept, np.maximum(offsets[kept] - len(prompt), 0)

    def strings(self, ids: Int[np.ndarray, " tokens"]) -> tuple[str, ...]:
        """The vocabulary's strings for these ids."""
        return tuple(self._tokenizer.id_to_token(int(i)) for i in ids)

    def prompt(self, role: Role) -> str:
        """The text before every text of this role. Raises InvalidInput for another role."""
        if role not in ROLES:
            raise InvalidInput(f"role {role!r}", expected=f"one of {', '.join(ROLES)}")
        return self._prompts.get(role, "")

    def prompt_tokens(self, role: Role) -> int:
        """How many leading ids belong to the prompt, opening special tokens included; 0 without a prompt."""
        prompt = self.prompt(role)
        if not prompt:
            return 0
        encoding = self._tokenizer.encode(prompt, add_special_tokens=self._special)
        mask = encoding.special_tokens_mask
        return len(mask) - (1 if mask and mask[-1] else 0)

    def _require_room_after_prompt(self, role: Role, max_tokens: int) -> None:
        taken = self.tokenise([""], role=role).counts[0]
        if self.prompt(role) and taken >= max_tokens:
            raise InvalidInput(
                f"a {role} prompt of {taken} tokens, special tokens included, before texts of {max_tokens}",
                expected="a prompt that leaves room for text",
                hint="give a shorter prompt",
            )

    def _slices(self, texts: Sequence[str], prompt: str) -> Iterator[list[Any]]:
        for at in range(0, len(texts), SLICE_TEXTS):
            part = [prompt + text for text in texts[at : at + SLICE_TEXTS]] if prompt else texts[at : at + SLICE_TEXTS]
            with tokenising(texts, self._file):
                encodings = self._encode(list(part))
            yield encodings

    def _encode(self, texts: list[str]) -> list[Any]:
        # The library spreads a batch over every CPU, a text each; a lone text it does on the caller's thread.
        # To use fewer threads than CPUs, no more texts are passed at once than there are threads.
        if self._threads == 1 or len(texts) == 1:
            return [self._tokenizer.encode(text, add_special_tokens=self._special) for text in texts]
        step = len(texts) if self._threads >= available_cpus() else self._threads
        encode = self._tokenizer.encode_batch_fast
        return [
            encoding
            for at in range(0, len(texts), step)
            for encoding in encode(texts[at : at + step], add_special_tokens=self._special)
        ]

    def _overflow(self, encoding: Any) -> int:
        return sum(len(part.ids) - self._special_count for part in encoding.overflowing)


def check_texts(texts: Sequence[str]) -> None:
    """Raise InvalidInput for a lone string and for items that are not strings."""
    if isinstance(texts, str):
        raise InvalidInput("one string", expected="a sequence of strings", hint='write ["the text"]')
    for at, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidInput(
                f"texts[{at}] is of type {type(text).__name__}",
                expected="a string in every place",
                hint="leave out what has no text, or turn it into one",
            )


def warn_truncated(counts: Sequence[int], *, limit: int, name: str) -> None:
    """Warn TruncatedText when counts are above the limit: how many, and by how much at most."""
    over = [count for count in counts if count > limit]
    if over:
        warnings.warn(
            f"{len(over)} of {len(counts)} texts are longer than the {limit} tokens that {name} reads "
            f"(longest: {max(over)} tokens); what lies beyond is not in their vectors. "
            f"Cut them into chunks of at most {limit} tokens",
            TruncatedText,
            stacklevel=3,
        )


@contextmanager
def tokenising(texts: Sequence[str], file: Path) -> Iterator[None]:
    """The library's errors as gnomon's: InvalidInput for texts that are not Unicode, ModelUnsupported for a tokenizer
    that has no token for what it does not know.
    """
    try:
        yield
    except (UnicodeEncodeError, TypeError) as error:
        raise invalid_unicode(texts) from error
    except Exception as error:  # the library raises bare Exception, and nothing narrower
        raise ModelUnsupported(
            f"{file} cannot tokenise these texts: {error}",
            expected="a tokenizer with a token for unknown characters (unk_token, or unk_id)",
            hint="fetch the model again: its tokenizer is not whole",
        ) from error


def truncation_side(config: TokenizerConfig | None) -> TruncationSide:
    """Which end of a text is cut."""
    return "right" if config is None else config.truncation_side


def load_tokenizer(file: Path, config: TokenizerConfig | None = None) -> Any:
    """A tokenizer.json, with the options beside it where they are given, that neither truncates nor pads.

    Raises ModelUnsupported for another file.
    """
    from tokenizers import Tokenizer

    try:
        if config is not None and is_changed(file, config):
            applied = config.applied(json.loads(file.read_bytes()))
            tokenizer = Tokenizer.from_str(json.dumps(applied, ensure_ascii=False))
        else:
            tokenizer = Tokenizer.from_file(str(file))
    except ModelUnsupported:
        raise
    except Exception as error:  # the library raises bare Exception, and nothing narrower
        raise ModelUnsupported(
            f"{file.name} in {file.parent.name} is not a tokenizer: {error}",
            expected="a tokenizer.json of the `tokenizers` library",
            hint=f"fetch {file} again, or export it with save_pretrained of a fast tokenizer",
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if config is not None and config.splits_special_tokens:
        tokenizer.encode_special_tokens = True
    return tokenizer


def invalid_unicode(texts: Sequence[str]) -> InvalidInput:
    """The error that names the texts with lone surrogates."""
    bad = [at for at, text in enumerate(texts) if any("\ud800" <= char <= "\udfff" for char in text)]
    return InvalidInput(
        f"texts that are not Unicode (lone surrogates) at positions {bad[:10]}",
        expected="text that UTF-8 can hold",
        hint='decode the file with errors="replace"',
    )
