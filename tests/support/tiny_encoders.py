"""Tiny models of each family, made from a fixed seed: the reference values in golden.json come from these.

Also read by tools outside this repository's environment, so: numpy, json and safetensors only.
"""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

WORDS = [f"w{number}" for number in range(32)]
HIDDEN, WIDE, LAYERS, HEADS, ROOM = 16, 24, 2, 2, 80
SPECIALS = {
    "bert": ["[PAD]", "[UNK]", "[CLS]", "[SEP]"],
    "roberta": ["<s>", "<pad>", "</s>", "<unk>"],
}
SHORT = "w1 w2 w3"
LONG = " ".join(WORDS[(7 * at) % 32] for at in range(70))
FAMILIES = ("bert", "roberta", "distilbert", "mpnet")
ATTENTION = "gnomon.train.attention_pooling.AttentionPooling"
ACTIVATIONS = {"Tanh": "torch.nn.modules.activation.Tanh", "Identity": "torch.nn.modules.linear.Identity"}


def specials(family):
    return SPECIALS["roberta" if family in ("roberta", "mpnet") else "bert"]


def config(family):
    base = {
        "model_type": family,
        "vocab_size": 36,
        "max_position_embeddings": ROOM,
        "pad_token_id": specials(family).index("[PAD]" if family in ("bert", "distilbert") else "<pad>"),
    }
    if family == "distilbert":
        return base | {
            "dim": HIDDEN,
            "hidden_dim": WIDE,
            "n_layers": LAYERS,
            "n_heads": HEADS,
            "activation": "gelu",
        }
    return base | {
        "hidden_size": HIDDEN,
        "intermediate_size": WIDE,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "hidden_act": {"bert": "gelu", "roberta": "gelu_new", "mpnet": "relu"}[family],
        "layer_norm_eps": 1e-5,
        "type_vocab_size": 2 if family == "bert" else 1,
        "relative_attention_num_buckets": 32,
    }


def shapes(family):
    yield "embeddings.word_embeddings.weight", (36, HIDDEN)
    yield "embeddings.position_embeddings.weight", (ROOM, HIDDEN)
    if family in ("bert", "roberta"):
        yield "embeddings.token_type_embeddings.weight", (2 if family == "bert" else 1, HIDDEN)
    yield from norm("embeddings.LayerNorm")
    for layer in range(LAYERS):
        at = f"{'transformer' if family == 'distilbert' else 'encoder'}.layer.{layer}."
        attention, norms, widen, narrow = {
            "bert": BERT,
            "roberta": BERT,
            "distilbert": (
                [f"attention.{name}_lin" for name in ("q", "k", "v", "out")],
                ("sa_layer_norm", "output_layer_norm"),
                "ffn.lin1",
                "ffn.lin2",
            ),
            "mpnet": (
                [f"attention.attn.{name}" for name in "qkvo"],
                ("attention.LayerNorm", "output.LayerNorm"),
                "intermediate.dense",
                "output.dense",
            ),
        }[family]
        for name in attention:
            yield from dense(at + name, HIDDEN, HIDDEN)
        yield from dense(at + widen, WIDE, HIDDEN)
        yield from dense(at + narrow, HIDDEN, WIDE)
        for name in norms:
            yield from norm(at + name)
    if family == "mpnet":
        yield "encoder.relative_attention_bias.weight", (32, HEADS)


BERT = (
    [*(f"attention.self.{name}" for name in ("query", "key", "value")), "attention.output.dense"],
    ("attention.output.LayerNorm", "output.LayerNorm"),
    "intermediate.dense",
    "output.dense",
)


def dense(name, out, into):
    yield f"{name}.weight", (out, into)
    yield f"{name}.bias", (out,)


def norm(name):
    yield f"{name}.weight", (HIDDEN,)
    yield f"{name}.bias", (HIDDEN,)


def tensors(family, seed=7):
    # Norm weights near 1, so that the output depends on the tokens and not only on the last shift.
    rng = np.random.default_rng(seed)
    return {
        name: (scale * rng.standard_normal(shape) + ("orm.weight" in name)).astype(np.float32)
        for name, shape in shapes(family)
        for scale in (0.7 if len(shape) == 2 else 0.2,)
    }


def tokenizer(family):
    names = specials(family)
    first, last = ("[CLS]", "[SEP]") if "[CLS]" in names else ("<s>", "</s>")
    vocabulary = {word: number for number, word in enumerate(names + WORDS)}
    return {
        "version": "1.0",
        "truncation": {"max_length": 9, "stride": 0, "strategy": "LongestFirst", "direction": "Right"},
        "padding": None,
        "added_tokens": [
            {
                "id": vocabulary[name],
                "content": name,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for name in names
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": first, "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": last, "type_id": 0}},
            ],
            "pair": [
                {"Sequence": {"id": "A", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {
                name: {"id": name, "ids": [vocabulary[name]], "tokens": [name]} for name in (first, last)
            },
        },
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": vocabulary,
            "unk_token": next(name for name in names if "unk" in name.lower()),
        },
    }


def attention_query():
    return np.random.default_rng(11).standard_normal(HIDDEN).astype(np.float32)


def write(folder: Path, family, prefix=""):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config(family)))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer(family)))
    save_file({prefix + name: value for name, value in tensors(family).items()}, folder / "model.safetensors")
    return folder


def as_sentence_transformer(folder: Path, pooling, *, dense=None, normalise=True, **pool):
    """Writes modules.json, 1_Pooling and, for a (weight, bias, activation), 2_Dense.

    Pooling "attention" is gnomon's own module, with the query that `attention_query` gives.
    """
    own = pooling == "attention"
    names = [
        "Transformer",
        "AttentionPooling" if own else "Pooling",
        *(["Dense"] if dense else []),
        *(["Normalize"] if normalise else []),
    ]
    modules = [
        {
            "idx": at,
            "name": str(at),
            "path": "" if at == 0 else f"{at}_{name}",
            "type": ATTENTION if name == "AttentionPooling" else f"sentence_transformers.models.{name}",
        }
        for at, name in enumerate(names)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 75}))
    at = folder / f"1_{names[1]}"
    at.mkdir(exist_ok=True)
    modes = {"mean": "mean_tokens", "cls": "cls_token", "max": "max_tokens", "last": "lasttoken"}
    modes["weightedmean"] = "weightedmean_tokens"
    said = {f"pooling_mode_{flag}": name == pooling for name, flag in modes.items()}
    (at / "config.json").write_text(json.dumps(({"dim": HIDDEN} if own else said) | pool))
    if own:
        save_file({"query": attention_query()}, at / "model.safetensors")
    if dense:
        weight, bias, activation = dense
        (folder / "2_Dense").mkdir(exist_ok=True)
        plain = {
            "in_features": weight.shape[1],
            "out_features": weight.shape[0],
            "bias": bias is not None,
            "activation_function": ACTIVATIONS[activation],
        }
        (folder / "2_Dense" / "config.json").write_text(json.dumps(plain))
        held = {"linear.weight": weight} | ({} if bias is None else {"linear.bias": bias})
        save_file(held, folder / "2_Dense" / "model.safetensors")
