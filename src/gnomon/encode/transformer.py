"""Transformer encoders: one vector a text from a transformer's pooled token vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from gnomon.core.contracts import Role, RoleMethods
from gnomon.core.errors import ModelUnsupported
from gnomon.core.space import Space
from gnomon.core.token_counting import TokenCounting
from gnomon.core.unknown_text import unknown_vector, warn_unknown
from gnomon.core.vectors import Vectors
from gnomon.encode.layout.export import export_hint
from gnomon.encode.layout.families import FAMILIES, NATIVE_IN_0_1, transformer_spec
from gnomon.encode.layout.model import ModelLayout
from gnomon.encode.runtime.batches import pad_id, padded_batches, parallel_map, windows
from gnomon.encode.runtime.runners import LazyRunner, text_runner, token_runner
from gnomon.encode.runtime.tokenizer import (
    TextTokenizer,
    TokenisedTexts,
    TokenVectors,
    check_texts,
    warn_truncated,
)
from gnomon.encode.settings import EncoderSettings, check_dim

ONNX = Path("onnx", "model.onnx")


class TransformerEncoder(RoleMethods):
    """A model in sentence-transformers layout. Safe to use from several threads.

    Compiles on first use. Raises ModelUnsupported at once where there is neither a graph nor an ONNX file.
    """

    def __init__(self, layout: ModelLayout, settings: EncoderSettings | None = None) -> None:
        self._settings = settings or EncoderSettings()
        check_dim(self._settings, layout.dim, layout.name)
        self._layout = _with_runnable_weights(layout, self._settings)
        _require_supported(self._layout, self._settings)
        self._tokenizer = TextTokenizer(
            layout.tokenizer,
            prompts=layout.prompts,
            max_tokens=layout.max_tokens,
            threads=self._settings.thread_count,
        )
        parts = self._layout, self._settings, self._tokenizer
        self._text_model = LazyRunner(lambda: text_runner(*parts))
        self._token_model = LazyRunner(lambda: token_runner(*parts))

    @cached_property
    def _full_space(self) -> Space:
        if self._settings.precision == "int8":
            from gnomon.encode.runtime.calibration import int8_ingredients

            return Space.of(int8_ingredients(self._layout), name=self._layout.name)
        return Space.of(self._layout.ingredients(precision="float"), name=self._layout.name)

    @property
    def space(self) -> Space:
        """The model's space, or its prefix where `dim` is set."""
        return self._full_space.truncate(self._settings.dim or self._layout.dim)

    @property
    def max_tokens(self) -> int:
        """The longest text read whole, in tokens, special tokens and prompt included."""
        return self._layout.max_tokens

    @property
    def lanes(self) -> int:
        """How many calls of `encode` run at once; further ones wait their turn."""
        return self._settings.lanes

    @property
    def batch_tokens(self) -> int:
        """How many tokens one inference takes, padding included."""
        return self._settings.batch_budget

    @property
    def tokenizer_json(self) -> str:
        """The tokenizer in the `tokenizers` library's JSON, without truncation and padding."""
        return self._tokenizer.json

    @property
    def token_counting(self) -> TokenCounting:
        """How documents' tokens are counted, for a process without the model."""
        return self._tokenizer.counting("document")

    def count_tokens(self, texts: Sequence[str], *, role: Role) -> list[int]:
        """Each text's length in tokens, special tokens and prompt included, before truncation."""
        check_texts(texts)
        return self._tokenizer.tokenise(texts, role=role).counts

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """One row a text, in the order given; an empty text is its special tokens.

        Without special tokens it gets `unknown_vector`, and UnknownText is warned of.
        Warns TruncatedText. Raises InvalidInput for what is not a sequence of strings.
        """
        check_texts(texts)
        rows = np.empty((len(texts), self._layout.dim), dtype=np.float32)
        counts: list[int] = []
        for start, tokenised in self._windows(texts, role):
            counts += tokenised.counts
            rows[start : start + len(tokenised.counts)] = self._rows(tokenised, role, start=start)
        if role == "document":  # of queries the search tells, which knows what it does without them
            warn_unknown(_empty(counts), of=len(texts), name=self._layout.name)
        warn_truncated(counts, limit=self._layout.max_tokens, name=self._layout.name)
        return self._vectors(rows)

    def tokenise(self, texts: Sequence[str], *, role: Role) -> TokenisedTexts:
        """Each text's token ids as `encode` reads them, for `encode_tokens`. Raises as `encode` does."""
        check_texts(texts)
        return self._tokenise(texts, role=role)

    def encode_tokens(self, tokenised: TokenisedTexts, *, role: Role) -> Vectors:
        """`encode` of what `tokenise` gave for this role. Warns of nothing: the counts say what is too long."""
        return self._vectors(self._rows(tokenised, role))

    def _rows(self, tokenised: TokenisedTexts, role: Role, *, start: int = 0) -> Float[np.ndarray, "texts dim"]:
        rows = np.empty((len(tokenised.counts), self._layout.dim), dtype=np.float32)
        skip: tuple[Any, ...] = ()
        if not self._layout.include_prompt:
            skip = (np.array(self._tokenizer.prompt_tokens(role), dtype=np.int32),)

        def run(batch: tuple[Any, Any, Any]) -> tuple[Any, Any]:
            positions, ids, lengths = batch
            return positions, self._text_model.run(ids, lengths, *skip)

        batches = self._batches(tokenised.filled(pad_id(self._layout)), start)
        for positions, made in parallel_map(run, batches, lanes=self.lanes):
            rows[positions] = made
        rows[_empty(tokenised.counts)] = unknown_vector(self._layout.dim)
        return rows

    def _vectors(self, rows: Float[np.ndarray, "texts dim"]) -> Vectors:
        vectors = Vectors(rows, self._full_space)
        return vectors if self._settings.dim is None else vectors.truncate(self._settings.dim)

    def tokens(self, texts: Sequence[str], *, role: Role = "document") -> list[TokenVectors]:
        """Each text's token vectors, with their characters in the text; warns and raises as `encode` does."""
        check_texts(texts)
        found: list[TokenVectors | None] = [None] * len(texts)
        counts: list[int] = []
        for start, tokenised in self._windows(texts, role):
            counts += tokenised.counts
            for (positions, ids, _), hidden in parallel_map(
                lambda batch: (batch, self._token_model.run(*batch[1:])),
                self._batches(tokenised, start),
                lanes=self.lanes,
            ):
                for states, row, at in zip(hidden, ids, start + positions, strict=True):
                    kept, offsets = self._tokenizer.spans(texts[at], role=role)
                    found[at] = TokenVectors(states[kept], offsets, self._tokenizer.strings(row[kept]))
        warn_truncated(counts, limit=self._layout.max_tokens, name=self._layout.name)
        return [item for item in found if item is not None]

    def _windows(self, texts: Sequence[str], role: Role) -> Iterator[tuple[int, TokenisedTexts]]:
        return windows(texts, partial(self._tokenise, role=role), threads=self._settings.thread_count)

    def _tokenise(self, texts: Sequence[str], *, role: Role) -> TokenisedTexts:
        tokenised = self._tokenizer.tokenise(texts, role=role)
        if not self._layout.filler:
            return tokenised
        filler = self._tokenizer.id_of(self._layout.filler)
        return tokenised.lengthened(pad_id(self._layout) if filler is None else filler, self._layout.max_tokens)

    def _batches(self, tokenised: TokenisedTexts, start: int) -> Iterator[tuple[Any, Any, Any]]:
        budget = self._settings.batch_budget
        return padded_batches(tokenised.ids, self._layout, budget_tokens=budget, start=start)


def _empty(counts: Sequence[int]) -> list[int]:
    return [at for at, count in enumerate(counts) if not count]


def _require_supported(layout: ModelLayout, settings: EncoderSettings) -> None:
    """Raise where an ONNX file, or layers that share weights, are to run in a way that they cannot."""
    if settings.on_torch:
        from gnomon.encode.runtime.torch_runner import require_device

        require_device(settings)
    unsupported = settings.device if settings.on_torch else settings.precision
    if layout.weights.suffix == ".onnx" and (settings.on_torch or unsupported == "int8"):
        raise ModelUnsupported(
            f"{layout.name} runs from {layout.weights.name}, and {unsupported!r} needs its safetensors",
            expected=f"a model of one of the families {', '.join(sorted(FAMILIES))}",
            hint="leave out device and precision: this model runs on the CPU, in floating point",
        )
    if settings.precision == "int8" and transformer_spec(layout.family, layout.config).layer_groups:
        raise ModelUnsupported(
            f"{layout.name} in 8 bits: the layers of the family {layout.family!r} share their weights, and each would "
            "need a range of activations of its own",
            expected="a model whose layers have weights of their own",
            hint='leave precision at "auto"',
        )


def _needs_onnx(layout: ModelLayout, file: Path) -> bool:
    """Whether an ONNX file runs what the family's network does not. Raises ModelUnsupported where there is none."""
    try:
        transformer_spec(layout.family, layout.config)
    except ModelUnsupported:
        if not file.is_file():
            raise
        return True
    return False


def _code_files(auto_map: Any) -> str:
    """The Python files that a config's auto_map names, as modelling_x.py."""
    named = auto_map.values() if isinstance(auto_map, dict) else [auto_map]
    modules = [str(name).rpartition("--")[2].partition(".")[0] for name in named]
    return ", ".join(f"{module}.py" for module in dict.fromkeys(modules))


def _with_runnable_weights(layout: ModelLayout, settings: EncoderSettings) -> ModelLayout:
    """The layout with the weights that will be run, which are the ones that its fingerprint digests.

    A folder of a family that gnomon 0.1 ran from ONNX only, with such a file in it, is still run from that: its vectors
    may be in a collection. 8 bits and torch, which ONNX never had, take the safetensors.
    """
    file = layout.weights if layout.weights.suffix == ".onnx" else layout.folder / ONNX
    exact = settings.on_torch or settings.precision == "int8"
    kept = layout.family not in NATIVE_IN_0_1 and file.is_file() and not exact
    if layout.weights.suffix != ".onnx" and layout.family in FAMILIES and not kept and not _needs_onnx(layout, file):
        return layout
    if not file.is_file():
        code = layout.config.get("auto_map")
        own = f", and its network is code of its own ({_code_files(code)}), which is never run" if code else ""
        raise ModelUnsupported(
            f"{layout.name} is of the family {layout.family!r}, without {ONNX.as_posix()} in its folder{own}",
            expected=f"one of {', '.join(sorted(FAMILIES))}, or an ONNX file",
            hint=export_hint(layout.folder),
        )
    beside = layout.weights if layout.weights.suffix != ".onnx" else None
    return replace(layout, weights=file, exported_from=beside)
