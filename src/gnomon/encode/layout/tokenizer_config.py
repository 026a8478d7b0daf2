"""What stands beside tokenizer.json and changes how it reads a text: tokenizer_config.json, added_tokens.json,
special_tokens_map.json.

As transformers 5 applies them (AutoTokenizer.from_pretrained, checked against 5.23.0): a tokenizer's class builds parts
of it anew from the options in tokenizer_config.json. Static models are read from tokenizer.json alone, by model2vec and
sentence-transformers alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.layout.files import lowercases, read_json

TruncationSide = Literal["left", "right"]

# Classes of transformers, without "Fast", by what they do with the options beside the file.
_BERT = frozenset(
    f"{name}Tokenizer"
    for name in """Bert DistilBert Electra MobileBert SqueezeBert ConvBert MPNet LayoutLM Lxmert RetriBert Realm
    DPRContextEncoder DPRQuestionEncoder DPRReader""".split()
)
_BYTE_LEVEL = frozenset(
    f"{name}Tokenizer" for name in "Roberta GPT2 Longformer Bart LED Deberta Blenderbot Mvp".split()
)
_METASPACE = frozenset(f"{name}Tokenizer" for name in "XLMRoberta Camembert Barthez MBart NllbToken T5".split())
_TYPED = (_BERT - {"DistilBertTokenizer", "MPNetTokenizer"}) | frozenset(
    f"{name}Tokenizer" for name in "Albert Deberta DebertaV2 Funnel RemBert XLNet".split()
)
_TYPED_FAMILIES = frozenset({"bert", "electra", "nomic_bert", "albert", "deberta", "deberta-v2"})
_BERT_OPTIONS: Mapping[str, tuple[str, Any]] = {
    "lowercase": ("do_lower_case", True),
    "strip_accents": ("strip_accents", None),
    "handle_chinese_chars": ("tokenize_chinese_chars", True),
}
# Classes whose options add_bos_token and add_eos_token transformers 4 wrote into the post-processor.
_ADDING_ENDS = frozenset({"LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer", "CohereTokenizer"})
_ENDS = ("bos", "eos")
_NO_SPECIAL_TOKENS: dict[str, Any] = {
    "type": "TemplateProcessing",
    "single": [{"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {},
}
_XLM_UNKNOWN_ID = 3
_RESAVE = (
    "where transformers is installed: python -c \"from transformers import AutoTokenizer as A; p = '{folder}'; "
    'A.from_pretrained(p).save_pretrained(p)"'
)


def resave_hint(folder: Path) -> str:
    """How to have transformers write all that it applies into tokenizer.json itself."""
    return _RESAVE.format(folder=folder)


@dataclass(frozen=True)
class TokenizerConfig:
    """The options beside a tokenizer.json; the defaults change nothing.

    `kind` is the class without "Fast", "" where none is named. `options` is tokenizer_config.json. `added` maps
    ids to tokens, each a JSON object as in tokenizer.json.
    """

    folder: Path = Path()
    kind: str = ""
    truncation_side: TruncationSide = "right"
    options: Mapping[str, Any] | None = None
    added: tuple[tuple[int, Mapping[str, Any]], ...] = ()

    @property
    def splits_special_tokens(self) -> bool:
        """Whether special tokens that stand in a text are read as text."""
        return bool((self.options or {}).get("split_special_tokens", False))

    def reads_token_types(self, family: str) -> bool:
        """Whether the model is given token types: what the file names as inputs, else what its class does."""
        named = (self.options or {}).get("model_input_names")
        if named:
            return "token_type_ids" in named
        return self.kind in _TYPED if self.kind else family in _TYPED_FAMILIES

    def applied(self, tokenizer: dict[str, Any]) -> dict[str, Any]:
        """A tokenizer.json's content with these options in it; the same content where they change nothing.

        Raises ModelUnsupported where file and options contradict each other and cannot both hold.
        """
        changed = {**tokenizer}
        options = self.options or {}
        if self.kind in _BERT:
            changed["normalizer"] = self._bert_normalizer(tokenizer.get("normalizer"), options)
        if self.kind in _BYTE_LEVEL:
            prefix = bool(options.get("add_prefix_space", False))
            changed["pre_tokenizer"] = _with_prefix_space(tokenizer.get("pre_tokenizer"), prefix)
        if self.kind in _METASPACE and options.get("add_prefix_space") is not None:
            prefix = bool(options["add_prefix_space"])
            changed["pre_tokenizer"] = _with_prefix_space(tokenizer.get("pre_tokenizer"), prefix)
        model = tokenizer.get("model") or {}
        lacks_unknown = model.get("type") == "Unigram" and model.get("unk_id") is None
        if lacks_unknown and self.kind in ("XLMRobertaTokenizer", "CamembertTokenizer"):
            changed["model"] = {**model, "unk_id": _XLM_UNKNOWN_ID}
        if self.added:
            changed["added_tokens"] = self._with_added(tokenizer)
        if self.kind in _ADDING_ENDS:
            changed["post_processor"] = self._with_ends(changed, options)
        return changed

    def _with_ends(self, tokenizer: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
        """The post-processor, with the beginning and end tokens that add_bos_token and add_eos_token ask for.

        transformers 4 wrote them into it; transformers 5 reads tokenizer.json as it is, and pools another token than
        the model was trained with where that lacks the end (e5-mistral-7b-instruct, mteb pull request 5237).
        """
        ends = {end: _content(options.get(f"{end}_token")) if options.get(f"add_{end}_token") else "" for end in _ENDS}
        part = tokenizer.get("post_processor")
        steps: list[dict[str, Any]] = []
        if isinstance(part, dict):
            steps += part["processors"] if part.get("type") == "Sequence" else [part]
        if not any(step.get("type") == "TemplateProcessing" for step in steps):
            steps.append(_NO_SPECIAL_TOKENS)
        ids = vocabulary_of(tokenizer.get("model") or {})
        ids = {**ids, **{str(t.get("content")): int(t["id"]) for t in tokenizer.get("added_tokens") or []}}
        missing = [token for token in ends.values() if token and token not in ids]
        if missing:
            raise ModelUnsupported(
                f"{self.folder / 'tokenizer_config.json'} adds {missing[0]!r} to each text, which the vocabulary lacks",
                expected="tokens that tokenizer.json has",
                hint="fetch the model again",
            )
        changed = [_template_with(step, ids=ids, **ends) for step in steps]
        if changed == steps:
            return part
        return changed[0] if len(changed) == 1 else {"type": "Sequence", "processors": changed}

    def _bert_normalizer(self, normalizer: Any, options: Mapping[str, Any]) -> Any:
        if isinstance(normalizer, dict) and normalizer.get("type") == "BertNormalizer":
            said = {name: options.get(key, default) for name, (key, default) in _BERT_OPTIONS.items()}
            return {**normalizer, **said}
        lowers = bool(options.get("do_lower_case", True))
        if lowers != lowercases(normalizer):
            raise ModelUnsupported(
                f"{self.folder / 'tokenizer.json'} {'keeps the case of' if lowers else 'lowers'} its texts, and "
                f"tokenizer_config.json says {self.kind} with do_lower_case = {str(lowers).lower()}",
                expected="two files that read a text alike",
                hint=resave_hint(self.folder),
            )
        return normalizer

    def _with_added(self, tokenizer: Mapping[str, Any]) -> list[dict[str, Any]]:
        have: list[dict[str, Any]] = list(tokenizer.get("added_tokens") or [])
        known = {str(token.get("content")) for token in have}
        ids = {**vocabulary_of(tokenizer.get("model") or {}), **{str(t.get("content")): int(t["id"]) for t in have}}
        following = max(ids.values(), default=-1) + 1
        for said, token in self.added:
            content = str(token["content"])
            if content in known:
                continue
            found = ids.get(content, following)
            if found != said:
                raise ModelUnsupported(
                    f"{self.folder} gives the added token {content!r} the id {said}, and tokenizer.json {found}",
                    expected="the tokens that are added to tokenizer.json, at the ids that follow its own",
                    hint=resave_hint(self.folder),
                )
            following = max(following, found + 1)
            have.append({**token, "id": said})
        return have


def read_tokenizer_config(tokenizer: Path) -> TokenizerConfig:
    """The options beside a tokenizer.json. Raises ModelUnsupported for a tokenizer that is code of its own."""
    folder = tokenizer.parent
    options = read_json(folder / "tokenizer_config.json")
    code = options.get("auto_map")
    if code and (not isinstance(code, dict) or code.get("AutoTokenizer")):
        raise ModelUnsupported(
            f"{folder / 'tokenizer_config.json'} reads texts by Python code of the model's own (auto_map)",
            expected="a tokenizer that tokenizer.json describes whole",
            hint="choose another model: `gnomon models` lists some",
        )
    side = options.get("truncation_side", "right")
    if side not in get_args(TruncationSide):
        raise ModelUnsupported(
            f"{folder / 'tokenizer_config.json'} says truncation_side = {side!r}",
            expected='"left" or "right"',
            hint="correct it as the model's page says",
        )
    kind = options.get("tokenizer_class") or read_json(folder / "config.json").get("tokenizer_class") or ""
    return TokenizerConfig(
        folder=folder,
        kind=str(kind).removesuffix("Fast"),
        truncation_side=side,
        options=options,
        added=tuple(sorted(_added_tokens(folder, options), key=lambda one: one[0])),
    )


def _added_tokens(folder: Path, options: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Ids and tokens of tokenizer_config.json, else of added_tokens.json, which older versions wrote."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}
    try:
        if "added_tokens_decoder" in options:
            for number, token in options["added_tokens_decoder"].items():
                yield int(number), {**flags, **{key: token[key] for key in ("content", *flags) if key in token}}
            return
        special = json.dumps([options, read_json(folder / "special_tokens_map.json")], ensure_ascii=False)
        for content, number in read_json(folder / "added_tokens.json").items():
            is_special = json.dumps(content, ensure_ascii=False) in special
            yield int(number), {**flags, "content": content, "normalized": not is_special, "special": is_special}
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise ModelUnsupported(
            f"the added tokens of {folder} cannot be read ({type(error).__name__}: {error})",
            expected="added_tokens_decoder of tokenizer_config.json, or added_tokens.json, as transformers writes them",
            hint="fetch the model again",
        ) from error


def _content(token: Any) -> str:
    """The text of a special token, which is written by itself or as an object."""
    return str(token.get("content", "") if isinstance(token, dict) else token or "")


def _template_with(part: dict[str, Any], *, ids: Mapping[str, int], bos: str, eos: str) -> dict[str, Any]:
    """A template that puts `bos` before each text and `eos` behind it, "" for neither; other parts as they are."""
    if part.get("type") != "TemplateProcessing":
        return part

    def piece(token: str, like: Mapping[str, Any]) -> dict[str, Any]:
        return {"SpecialToken": {"id": token, "type_id": like["Sequence"]["type_id"]}}

    changed = {**part, "special_tokens": dict(part.get("special_tokens") or {})}
    for form in ("single", "pair"):
        pieces = list(part.get(form) or [])
        names = [one.get("SpecialToken", {}).get("id") for one in pieces]
        before = bool(bos) and bos not in names
        behind = bool(eos) and eos not in names
        changed[form] = [
            made
            for one in pieces
            for made in (
                *([piece(bos, one)] if before and "Sequence" in one else []),
                one,
                *([piece(eos, one)] if behind and "Sequence" in one else []),
            )
        ]
    for token in filter(None, (bos, eos)):
        changed["special_tokens"].setdefault(token, {"id": token, "ids": [ids[token]], "tokens": [token]})
    return changed


def vocabulary_of(model: Mapping[str, Any]) -> dict[str, int]:
    """The ids of the tokens of a tokenizer.json's model, added tokens apart."""
    vocabulary = model.get("vocab") or {}
    if isinstance(vocabulary, dict):
        return vocabulary
    return {str(row[0]): at for at, row in enumerate(vocabulary)}


def _with_prefix_space(part: Any, prefix: bool) -> Any:
    """A pre-tokeniser that puts a space before a text, or does not."""
    if not isinstance(part, dict):
        return part
    if part.get("type") == "Sequence":
        return {**part, "pretokenizers": [_with_prefix_space(one, prefix) for one in part.get("pretokenizers", [])]}
    if part.get("type") == "ByteLevel":
        return {**part, "add_prefix_space": prefix}
    if part.get("type") == "Metaspace":
        flag = {"add_prefix_space": prefix} if "add_prefix_space" in part else {}
        return {**part, "prepend_scheme": "always" if prefix else "never", **flag}
    return part
