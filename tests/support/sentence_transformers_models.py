"""Tiny models with random weights, saved by sentence-transformers: what is served must agree with it."""

import string
from pathlib import Path

import torch
import transformers
from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from sentence_transformers.sentence_transformer.modules import (
    Dense,
    Normalize,
    Pooling,
    Router,
    StaticEmbedding,
    Transformer,
)
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling
from tokenizers import Tokenizer
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    BertTokenizerFast,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    MPNetConfig,
    MPNetForMaskedLM,
    MPNetForSequenceClassification,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaForSequenceClassification,
)

PUNCTUATION = list(string.punctuation)
LETTERS = list(string.ascii_lowercase)
VOCABULARY = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "[unused1]"),
    *PUNCTUATION,
    *(f"w{number}" for number in range(40)),
    *("the", "river", "bank", "money", "sundial"),
    *LETTERS,
    *(f"##{end}" for end in [*LETTERS, *string.digits]),
]
TEXTS = [
    "w1 the river, bank!",
    "money",
    "w3 w4 w5 w6, w7. w8 w9 w10 w11 w12 w13 w14 w15",
    "the w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12 w13 w14 w15 w16 w17 river river river bank",
    "",
]
CHECKED = ["w1 w2, w3 river.", "w4", "w5 w6 river w8 bank", "money w14"]
CROSS = {
    "bert": (BertConfig, BertForSequenceClassification),
    "roberta": (RobertaConfig, RobertaForSequenceClassification),
    "mpnet": (MPNetConfig, MPNetForSequenceClassification),
    "distilbert": (DistilBertConfig, DistilBertForSequenceClassification),
}
MASKED = {
    "bert": (BertConfig, BertForMaskedLM),
    "roberta": (RobertaConfig, RobertaForMaskedLM),
    "mpnet": (MPNetConfig, MPNetForMaskedLM),
    "distilbert": (DistilBertConfig, DistilBertForMaskedLM),
}


def tokenizer(folder: Path, **more):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    made = BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=64, **more)
    made.add_special_tokens({"additional_special_tokens": ["[unused0]", "[unused1]"]})
    made.save_pretrained(folder)
    return folder


def bert(folder: Path, hidden: int, seed: int):
    """A BERT of two layers; its weights are large, so that tokens matter."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=hidden,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=2 * hidden,
        max_position_embeddings=64,
        initializer_range=0.5,
    )
    BertModel(config).save_pretrained(tokenizer(folder))
    return str(folder)


def tower(folder: Path, hidden: int, seed: int, pooling: str = "mean"):
    backbone = Transformer(bert(folder, hidden, seed))
    return [backbone, Pooling(hidden, pooling), Dense(hidden, 8)]


def dual(folder: Path, **prompts):
    """Two towers of different size, with a Normalize after both."""
    query = tower(folder / "q", 16, 1, "cls")
    router = Router.for_query_document(query_modules=query, document_modules=tower(folder / "d", 24, 2))
    model = SentenceTransformer(modules=[router, Normalize()], prompts=prompts or None)
    model.save(str(folder / "saved"))
    return folder / "saved", model


def static_dual(folder: Path):
    """A static query tower beside a transformer."""
    bert(folder / "d", 8, 3)
    torch.manual_seed(4)
    static = StaticEmbedding(Tokenizer.from_file(str(folder / "d" / "tokenizer.json")), embedding_dim=8)
    document = [Transformer(str(folder / "d")), Pooling(8, "mean")]
    router = Router.for_query_document(query_modules=[static], document_modules=document)
    model = SentenceTransformer(modules=[router])
    model.save(str(folder / "saved"))
    return folder / "saved", model


def late(folder: Path, *, mask=None, backbone=None, prompts=None, **lengths):
    """Lengths are sentence-transformers' own: query_expansion, query_length, document_length."""
    torch.manual_seed(5)
    backbone = backbone or bert(folder / "b", 16, 5)
    transformer = Transformer(backbone, **lengths)
    hidden = transformer.get_embedding_dimension()
    dense = Dense(hidden, 8, bias=False, activation_function=None, module_input_name="token_embeddings")
    mask = MultiVectorMask(skiplist_words=PUNCTUATION, **(mask or {}))
    parts = [transformer, dense, mask, Normalize(module_input_name="token_embeddings")]
    model = MultiVectorEncoder(modules=parts, prompts=prompts)
    model.save(str(folder / "saved"))
    return folder / "saved", model


def backbone(folder: Path, family: str, classes, **more):
    """A model of two layers of a family, with its tokenizer; `classes` are its config and its model."""
    torch.manual_seed(6)
    sizes = {"vocab_size": len(VOCABULARY), "max_position_embeddings": 80, "initializer_range": 0.5}
    inner = (
        {"dim": 16, "hidden_dim": 32, "n_layers": 2, "n_heads": 2, "pad_token_id": 0}
        if family == "distilbert"
        else {
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "type_vocab_size": 2 if family == "bert" else 1,
            "pad_token_id": 0 if family == "bert" else 1,
        }
    )
    config, model = classes
    # RoBERTa and MPNet fill up with the id 1, whatever it is called here.
    said = {"pad_token": "[UNK]", "unk_token": "[UNK]"} if family in ("roberta", "mpnet") else {}
    if family != "bert":
        said["model_input_names"] = ["input_ids", "attention_mask"]
    tokenizer(folder, **said)
    made = model(config(**sizes, **inner, **more))
    for name, values in made.named_parameters():
        if name.endswith("bias"):  # zero in a new model, and then untested
            torch.nn.init.normal_(values, std=0.3)
    made.save_pretrained(folder)
    return str(folder)


def cross(folder: Path, family: str, **more):
    """A classifier of one label; `more` goes to CrossEncoder."""
    scorer = CrossEncoder(backbone(folder / "m", family, CROSS[family], num_labels=1), **more)
    scorer.save(str(folder / "saved"))
    return folder / "saved", scorer


def splade(folder: Path, family: str = "bert", *, pooling=None, **more):
    """SPLADE; `more` goes to SparseEncoder."""
    layers = [Transformer(backbone(folder / "m", family, MASKED[family]), transformer_task="fill-mask")]
    model = SparseEncoder(modules=[*layers, SpladePooling(**(pooling or {}))], **more)
    model.save(str(folder / "saved"))
    return folder / "saved", model


def inference_free(folder: Path):
    """Static weights for queries, SPLADE with two logarithms for documents, as OpenSearch's models have."""
    document = [Transformer(backbone(folder / "m", "bert", MASKED["bert"]), transformer_task="fill-mask")]
    weights = torch.rand(len(VOCABULARY)) * (torch.rand(len(VOCABULARY)) < 0.8)
    query = [SparseStaticEmbedding(AutoTokenizer.from_pretrained(folder / "m"), weight=weights)]
    document.append(SpladePooling(activation_function="log1p_relu"))
    router = Router.for_query_document(query_modules=query, document_modules=document)
    model = SparseEncoder(modules=[router])
    model.save(str(folder / "saved"))
    return folder / "saved", model


# Classifiers by the config's class and what it takes beside the sizes.
_DECODER = {"num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0, "bos_token_id": None, "eos_token_id": None}
_SPECIAL = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
CLASSIFIERS = {
    "modernbert": ("ModernBertConfig", {**_SPECIAL, "classifier_bias": True, "norm_bias": True}),
    "modernbert of means": ("ModernBertConfig", {**_SPECIAL, "classifier_pooling": "mean"}),
    "electra": ("ElectraConfig", {"embedding_size": 16}),
    "albert": ("AlbertConfig", {"embedding_size": 8}),
    "deberta": (
        "DebertaV2Config",
        {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_biased_input": False},
    ),
    "gte": ("GteConfig", {"type_vocab_size": 2}),
    "qwen3": ("Qwen3Config", _DECODER),
    "llama": ("LlamaConfig", _DECODER),
    "gemma3": ("Gemma3TextConfig", _DECODER),
}


def classifier(folder: Path, name: str):
    """A cross-encoder of a family in CLASSIFIERS."""
    torch.manual_seed(8)
    config, more = CLASSIFIERS[name]
    sizes = {
        "vocab_size": len(VOCABULARY),
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 80,
        "initializer_range": 0.3,
    }
    tokenizer(folder / "m")
    plain = getattr(transformers, config)(num_labels=1, **{**sizes, **more})
    model = AutoModelForSequenceClassification.from_config(plain)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(folder / "m")
    scorer = CrossEncoder(str(folder / "m"))
    scorer.save(str(folder / "saved"))
    return folder / "saved", scorer
