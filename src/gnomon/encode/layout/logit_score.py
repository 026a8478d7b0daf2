"""Causal language models that rerank: the logit of "yes" less that of "no", after a pair in a chat template.

As sentence-transformers 6.2 saves them (Transformer, LogitScore), or as transformers alone does: Qwen3-Reranker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.digest import digest_json
from gnomon.encode.layout.chat_template import EXAMPLE, ChatTemplate, read_chat_template
from gnomon.encode.layout.files import read_json
from gnomon.encode.layout.modules import refuse
from gnomon.encode.layout.tokenizer_config import read_tokenizer_config, vocabulary_of

WEB_SEARCH = "Given a web search query, retrieve relevant passages that answer the query"
"""The instruction of Qwen3-Reranker's page, which is its default."""
_FAMILIES = ("gemma3_text", "llama", "mistral", "qwen2", "qwen3")
# The page's own words (https://huggingface.co/Qwen/Qwen3-Reranker-0.6B), as a template.
_QWEN3_RERANKER = (
    "<|im_start|>system\n"
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
    'Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n"
    "<Instruct>: {{ messages[0].content }}\n"
    "<Query>: {{ messages[1].content }}\n"
    "<Document>: {{ messages[2].content }}<|im_end|>\n"
    "<|im_start|>assistant\n"
    "<think>\n\n</think>\n\n{# #}"
)


@dataclass(frozen=True)
class LogitScore:
    """How a pair is read, and which tokens' logits are its score: that of `true_id` less that of `false_id`.

    Without a `false_id` the score is the first logit alone. `output` names the tensor of the vocabulary's rows, ""
    for the word embeddings.
    """

    template: ChatTemplate
    true_id: int
    false_id: int | None
    output: str
    default_instruction: str = ""

    @property
    def digest(self) -> str:
        """Of all that decides a score beside weights, tokenizer and instruction."""
        template = self.template
        tokens = dict(template.tokens) if any(name in template.source for name in template.tokens) else {}
        return digest_json([template.source, template.of_parts, tokens, self.true_id, self.false_id, self.output])


def read_logit_score(folder: Path, config: Mapping[str, Any], tokenizer: Path, *, message_format: str) -> LogitScore:
    """Of a LogitScore module's folder. Raises ModelUnsupported for what cannot be scored so."""
    _check_family(folder, config)
    settings = read_json(folder / "config.json")
    true_id, false_id = settings.get("true_token_id"), settings.get("false_token_id")
    size = int(config.get("vocab_size", 0))
    if any(not isinstance(one, int) or not 0 <= one < size for one in (true_id, 0 if false_id is None else false_id)):
        raise ModelUnsupported(
            f"{folder / 'config.json'} has true_token_id = {true_id!r} and false_token_id = {false_id!r}",
            expected=f"ids of the model's {size} tokens",
            hint="save the model again",
        )
    if settings.get("module_input_name", "causal_logits") != "causal_logits":
        refuse(folder, f"a LogitScore of {settings['module_input_name']}", "one of causal_logits")
    template = read_chat_template(tokenizer, message_format=message_format)
    if template is None or not template.carries_pairs():
        raise _no_template(tokenizer.parent, template)
    return LogitScore(template, int(true_id or 0), false_id, _output(config))


def guess_logit_score(folder: Path, config: Mapping[str, Any], tokenizer: Path) -> LogitScore:
    """Of a causal language model's own folder: the tokens "yes" and "no", as sentence-transformers takes it.

    Its chat template where that carries pairs, else Qwen3-Reranker's, where the tokenizer has its special tokens.
    Raises ModelUnsupported for a model that lacks either.
    """
    _check_family(folder, config)
    plain = read_tokenizer_config(tokenizer).applied(read_json(tokenizer))
    ids = vocabulary_of(plain.get("model") or {})
    ids = {**ids, **{str(token.get("content")): int(token["id"]) for token in plain.get("added_tokens") or ()}}
    if "yes" not in ids or "no" not in ids:
        raise ModelUnsupported(
            f"{folder} is a causal language model without a token for each of yes and no",
            expected="a reranker whose answer is one of these tokens",
            hint="choose another reranker: `gnomon models --kind reranker` lists some",
        )
    template, instruction = read_chat_template(tokenizer), ""
    if template is None or not template.carries_pairs():
        if not {"<|im_start|>", "<|im_end|>"} <= ids.keys():
            raise _no_template(folder, template)
        template, instruction = ChatTemplate(_QWEN3_RERANKER, "Qwen3-Reranker's template"), WEB_SEARCH
    return LogitScore(template, ids["yes"], ids["no"], _output(config), instruction)


def _output(config: Mapping[str, Any]) -> str:
    # Gemma alone ties them where its config says nothing.
    tied = config.get("tie_word_embeddings", config.get("model_type") == "gemma3_text")
    return "" if tied else "lm_head.weight"


def _check_family(folder: Path, config: Mapping[str, Any]) -> None:
    if config.get("model_type") not in _FAMILIES:
        refuse(folder, f"a causal language model of the family {config.get('model_type')!r}", ", ".join(_FAMILIES))
    if config.get("final_logit_softcapping"):
        refuse(folder, "final_logit_softcapping", "logits as they are")


def _no_template(folder: Path, template: ChatTemplate | None) -> ModelUnsupported:
    found = "no chat template" if template is None else f"a chat template ({template.place}) that is for no pairs"
    return ModelUnsupported(
        f"{folder} has {found}",
        expected="a template that renders messages with the roles query and document",
        hint=f"write one to {folder / 'chat_template.jinja'}, as the model's page words it, such as {EXAMPLE}",
    )
