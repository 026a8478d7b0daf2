"""Tokenizers for training: a model's own tokenizer.json, or new ones trained on a corpus."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from gnomon.core.errors import InvalidInput, ModelUnsupported
from gnomon.encode.layout.files import read_json
from gnomon.encode.layout.tokenizer_config import read_tokenizer_config
from gnomon.encode.runtime.tokenizer import load_tokenizer

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_CONFIG = "tokenizer_config.json"


class ModelTokenizer:
    """A tokenizer with its limit: texts to unpadded ids, special tokens added, cut to `max_tokens`.

    `config` is what tokenizer_config.json says beside it, kept for other readers of the model.
    Raises InvalidInput for a limit that leaves no room for text.
    """

    def __init__(self, tokenizer: Any, *, max_tokens: int, config: dict[str, Any] | None = None) -> None:
        frame = tokenizer.num_special_tokens_to_add(True)
        if max_tokens <= frame:
            raise InvalidInput(
                f"max_tokens = {max_tokens}, of which {frame} are special tokens of a pair",
                expected="room for at least one token of text",
            )
        tokenizer.no_padding()
        self._tokenizer, self.max_tokens = tokenizer, max_tokens
        self.config = config or {"tokenizer_class": "PreTrainedTokenizerFast", **_roles(tokenizer)}
        # Of a pair, the longer side is cut first.
        tokenizer.enable_truncation(max_tokens, direction=self.config.get("truncation_side", "right"))

    @property
    def vocabulary(self) -> int:
        """How many ids it can give, added tokens included."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    def id_of(self, token: str) -> int | None:
        """The id of a token of the vocabulary; None where it has no such token, or only as unknown."""
        found = self._tokenizer.token_to_id(token)
        return None if found is None else int(found)

    def special_id(self, role: Literal["pad_token", "mask_token", "unk_token"]) -> int | None:
        """The id of the token that has this role, as "pad_token"."""
        token = self.config.get(role)
        name = token.get("content") if isinstance(token, dict) else token
        return None if not name else self.id_of(str(name))

    def encode(self, texts: Sequence[str], *, special: bool = True) -> tuple[Tensor, ...]:
        """Each text's ids; without `special` no special tokens are added. int64, on the CPU."""
        return _rows([one.ids for one in self._encodings(list(texts), special)])

    def encode_pairs(
        self, first: Sequence[str], second: Sequence[str]
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Ids and token types of each pair, read as one text; what is too long loses tokens of its longer
        side.
        """
        found = self._encodings(list(zip(first, second, strict=True)), True)
        return _rows([one.ids for one in found]), _rows([one.type_ids for one in found])

    def leading(self, prompt: str) -> int:
        """How many leading ids a prompt takes, opening special tokens included; 0 for none."""
        if not prompt:
            return 0
        mask = self._tokenizer.encode(prompt).special_tokens_mask
        return len(mask) - (1 if mask and mask[-1] else 0)

    def frame(self) -> tuple[list[int], list[int]]:
        """The special tokens before and after a text."""
        one = self._tokenizer.encode("a")
        own = [at for at, special in enumerate(one.special_tokens_mask) if not special]
        if not own:
            return list(one.ids), []
        return list(one.ids[: own[0]]), list(one.ids[own[-1] + 1 :])

    def with_limit(self, max_tokens: int) -> ModelTokenizer:
        """The same tokenizer with another limit."""
        return ModelTokenizer(_copy(self._tokenizer), max_tokens=max_tokens, config=self.config)

    def raw(self) -> Any:
        """A `tokenizers.Tokenizer` of its own, without truncation and padding."""
        plain = _copy(self._tokenizer)
        plain.no_truncation()
        plain.no_padding()
        return plain

    def save(self, folder: Path, **more: Any) -> None:
        """Write tokenizer.json and tokenizer_config.json, with `more` in the latter."""
        self.raw().save(str(folder / "tokenizer.json"))
        config = {**self.config, "model_max_length": self.max_tokens, **more}
        (folder / _CONFIG).write_text(json.dumps(config, indent=2, ensure_ascii=False), encoding="utf-8")

    def _encodings(self, inputs: list[Any], special: bool) -> list[Any]:
        try:
            return list(self._tokenizer.encode_batch_fast(inputs, add_special_tokens=special))
        except (UnicodeEncodeError, TypeError) as error:
            raise InvalidInput(
                f"texts that cannot be tokenised: {error}",
                expected="strings that UTF-8 can hold",
                hint="leave out what has no text; decode files with errors='replace'",
            ) from error


def open_tokenizer(folder: Path, *, max_tokens: int, special: bool = True) -> ModelTokenizer:
    """The tokenizer of a model's folder, with the options beside it where `special`: a static model has none.

    Raises ModelUnsupported where there is no tokenizer.
    """
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise ModelUnsupported(
            f"the backbone {folder} has no tokenizer: there is no tokenizer.json",
            expected="the tokenizer that the weights were trained with",
            hint="put its tokenizer.json there, where only vocab.txt or a slow tokenizer is there: "
            "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)",
        )
    options = read_tokenizer_config(file) if special else None
    tokenizer = load_tokenizer(file, options)
    stored = read_json(folder / _CONFIG)
    roles = {**_roles(tokenizer), **_mapped(read_json(folder / "special_tokens_map.json"))}
    config = {**roles, **stored} if stored else {"tokenizer_class": "PreTrainedTokenizerFast", **roles}
    return ModelTokenizer(tokenizer, max_tokens=max_tokens, config=config)


def train_tokenizer(
    corpus: Callable[[], Iterable[str]],
    *,
    kind: Literal["wordpiece", "bpe"] = "wordpiece",
    size: int = 30_000,
    max_tokens: int = 512,
    lowercase: bool = True,
) -> ModelTokenizer:
    """A new tokenizer of at most `size` tokens, trained on texts, with BERT's special tokens and frame.

    `corpus` gives the texts, and is called twice. The same texts give the same tokenizer.
    WordPiece: Schuster and Nakajima 2012. BPE on bytes: Sennrich et al. 2016 (arXiv:1508.07909).
    Raises InvalidInput for a size without room for special tokens and letters, and for no text.
    """
    from tokenizers import processors

    if size < 64 or (kind == "bpe" and size < 300):
        raise InvalidInput(f"a vocabulary of {size}", expected="at least 64 tokens (300 for bpe)")
    made = _train_bpe(corpus, size, lowercase) if kind == "bpe" else _train_pieces(corpus, size, lowercase)
    if made.get_vocab_size() <= len(SPECIAL):
        raise InvalidInput("no text to train a tokenizer on", expected="the texts of the corpus")
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, made.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    return ModelTokenizer(made, max_tokens=max_tokens)


def _train_pieces(corpus: Callable[[], Iterable[str]], size: int, lowercase: bool) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    def plain(vocabulary: dict[str, int] | None = None) -> Any:
        model = models.WordPiece(vocab=vocabulary or {}, unk_token="[UNK]")
        made = Tokenizer(model)
        made.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        made.decoder = decoders.WordPiece()
        return made

    tokenizer = plain()
    # The trainer numbers letters within words in the order of a hash map, which differs each time, and breaks
    # ties by these numbers. Given as if they were special they are numbered in order.
    inner = [f"##{letter}" for letter in sorted(_inner_letters(tokenizer, corpus()))]
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=[*SPECIAL, *inner], show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    made = plain(tokenizer.get_vocab())
    made.add_special_tokens(list(SPECIAL))
    return made


def _train_bpe(corpus: Callable[[], Iterable[str]], size: int, lowercase: bool) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    made = Tokenizer(models.BPE(unk_token="[UNK]"))
    made.normalizer = normalizers.Sequence([normalizers.NFC(), *([normalizers.Lowercase()] if lowercase else [])])
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    made.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(corpus(), trainer)
    return made


def _inner_letters(tokenizer: Any, texts: Iterable[str]) -> set[str]:
    words: set[str] = set()
    letters: set[str] = set()
    for text in texts:
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text)):
            if word not in words:
                words.add(word)
                letters.update(word[1:])
    return letters


def _rows(ids: list[list[int]]) -> tuple[Tensor, ...]:
    flat = torch.tensor([one for row in ids for one in row], dtype=torch.long)
    return tuple(flat.split([len(row) for row in ids]))


def _copy(tokenizer: Any) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_str(tokenizer.to_str())


def _roles(tokenizer: Any) -> dict[str, Any]:
    """The roles of special tokens, by their usual names."""
    names = {
        "pad_token": ("[PAD]", "<pad>"),
        "unk_token": ("[UNK]", "<unk>"),
        "cls_token": ("[CLS]", "<s>"),
        "sep_token": ("[SEP]", "</s>"),
        "mask_token": ("[MASK]", "<mask>"),
    }
    found = {
        role: next((n for n in known if tokenizer.token_to_id(n) is not None), None) for role, known in names.items()
    }
    return {role: name for role, name in found.items() if name}


def _mapped(plain: dict[str, Any]) -> dict[str, Any]:
    return {role: token for role, token in plain.items() if isinstance(token, str | dict)}
