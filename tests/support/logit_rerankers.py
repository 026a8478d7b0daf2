"""Tiny random decoders that rerank by the logits of "yes" and "no", and what transformers makes of them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

SYSTEM = (
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
    'Note that the answer can only be "yes" or "no".'
)
WEB_SEARCH = "Given a web search query, retrieve relevant passages that answer the query"
PREFIX = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n"
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEXTS = ["the river", "money in the bank\nof the river", "", "a sundial tells no time at night", "river " * 300]
TEMPLATE = (
    "{%- set asked = messages | selectattr('role', 'eq', 'system') | map(attribute='content') | first -%}\n"
    "<|im_start|>user\n{{ asked | default('Find passages', true) }}\n"
    "{%- for message in messages if message.role != 'system' %}\n"
    "<{{ message.role }}> {{ message.content | trim }}\n"
    "{%- endfor %}<|im_end|>\n<|im_start|>assistant\n"
)


def decoder(folder: Path, *, max_tokens: int = 200, tied: bool = True) -> tuple[Qwen3ForCausalLM, Any]:
    """A Qwen3ForCausalLM of two layers in a folder, as transformers saves it, with its tokenizer."""
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=SPECIALS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    words.train_from_iterator([PREFIX, *TEXTS, *["yes", "no", "yes no"] * 50], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token="<|im_end|>", pad_token="<|endoftext|>", model_max_length=max_tokens
    )
    torch.manual_seed(9)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=512,
        initializer_range=0.2,
        tie_word_embeddings=tied,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Qwen3ForCausalLM(config).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model, tokenizer


def probabilities(
    made: tuple[Qwen3ForCausalLM, Any], query: str, texts: list[str], instruction: str = WEB_SEARCH
) -> Any:
    """P("yes") of "yes" and "no", [texts], as Qwen3-Reranker's page computes it by transformers."""
    model, tokenizer = made
    before, after = (tokenizer.encode(part, add_special_tokens=False) for part in (PREFIX, SUFFIX))
    scores = []
    for text in texts:
        content = f"<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {text}"
        ids = tokenizer.encode(content, add_special_tokens=False)
        ids = [*before, *ids[: tokenizer.model_max_length - len(before) - len(after)], *after]
        with torch.inference_mode():
            logits = model(torch.tensor([ids])).logits[0, -1]
        pair = logits[[tokenizer.convert_tokens_to_ids("no"), tokenizer.convert_tokens_to_ids("yes")]]
        scores.append(float(torch.softmax(pair, 0)[1]))
    return np.array(scores)
