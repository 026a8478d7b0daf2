"""Options beside tokenizer.json: vectors equal sentence-transformers' of the same folder, or the model is refused."""

import json

import numpy as np
import pytest

import gnomon
from gnomon.core.errors import ModelUnsupported
from gnomon.encode.layout.model import read_layout
from gnomon.encode.layout.tokenizer_config import TokenizerConfig, read_tokenizer_config
from gnomon.encode.settings import EncoderSettings

FP32 = EncoderSettings(threads=1, precision="fp32")
LONG = " ".join(f"w{at % 40}" for at in range(90))
TEXTS = [LONG, "the river, bank!", "The River BANK", "münze w1 [NEW] w2", " w3 w4"]


def change(path, **keys):
    plain = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(plain | keys))


@pytest.fixture
def model(st_models, tmp_path):
    """A tiny BERT of a BertTokenizer, saved by sentence-transformers."""
    made = st_models.SentenceTransformer(modules=st_models.tower(tmp_path / "m", 16, 1)[:2])
    made.save(str(tmp_path / "saved"))
    return tmp_path / "saved"


def nearness(folder, st_models, texts=TEXTS):
    own = gnomon.load_encoder(folder, settings=FP32).encode(texts, role="document").data
    # One at a time: padded on the left, a BERT of absolute positions gives other vectors in other company.
    theirs = st_models.SentenceTransformer(str(folder)).encode(texts, normalize_embeddings=True, batch_size=1)
    return (own * theirs).sum(1).min()


HONOURED = {
    "nothing": {},
    "the left is cut": {"truncation_side": "left"},
    "case is kept": {"do_lower_case": False},
    "accents are kept": {"strip_accents": False, "do_lower_case": False},
    "no spaces around ideographs": {"tokenize_chinese_chars": False},
    "padding on the left": {"padding_side": "left"},
    "special tokens are text": {"split_special_tokens": True},
    "shorter than its positions": {"model_max_length": 20},
}


@pytest.mark.parametrize("options", HONOURED.values(), ids=HONOURED)
def test_options_are_honoured_as_sentence_transformers_does(model, st_models, options):
    before = read_layout(model, name="m").ingredients(precision="float").fingerprint()
    change(model / "tokenizer_config.json", **options)
    texts = [*TEXTS, "[SEP] w1", "銀行 w1"]
    assert nearness(model, st_models, texts) >= 0.9999
    after = read_layout(model, name="m").ingredients(precision="float").fingerprint()
    assert (after == before) == (options in ({}, {"padding_side": "left"}))


def test_the_left_cut_keeps_the_end_and_counts_all(model):
    change(model / "tokenizer_config.json", truncation_side="left")
    encoder = gnomon.load_encoder(model, settings=FP32)
    ends = encoder.encode([LONG, " ".join(LONG.split()[-62:])], role="document")
    assert encoder.count_tokens([LONG], role="document") == [92]
    assert encoder.tokens([LONG])[0].offsets[-1][1] == len(LONG)
    assert ends.similarity(ends)[0, 1] > 0.9999


def test_tokens_that_are_added_beside_the_file(model, st_models):
    config = json.loads((model / "tokenizer_config.json").read_text())
    vocabulary = json.loads((model / "tokenizer.json").read_text())["model"]["vocab"]
    added = {str(vocabulary["w7"]): {"content": "w7", "special": False, "normalized": False, "lstrip": False,
                                     "rstrip": False, "single_word": False}}  # fmt: skip
    change(model / "tokenizer_config.json", added_tokens_decoder=config.get("added_tokens_decoder", {}) | added)
    assert nearness(model, st_models, ["w7w1 xw7", "w7"]) >= 0.9999
    wrong = {"9999": {"content": "[NEW]"}}
    change(model / "tokenizer_config.json", added_tokens_decoder=wrong)
    with pytest.raises(ModelUnsupported, match=r"'\[NEW\]' the id 9999"):
        gnomon.load_encoder(model).encode(["w1"], role="document")


def test_added_tokens_json_of_older_versions():
    config = TokenizerConfig(added=((2, {"content": "[NEW]"}),))
    tokenizer = {"model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}}, "added_tokens": []}
    assert config.applied(tokenizer)["added_tokens"] == [{"content": "[NEW]", "id": 2}]


def test_byte_level_tokenizers_and_their_prefix_space(st_models, tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import RobertaConfig, RobertaModel, RobertaTokenizer

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    letters = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(TEXTS, trainers.BpeTrainer(initial_alphabet=letters, special_tokens=special))
    plain = json.loads(raw.to_str())["model"]
    merges = [tuple(pair) for pair in plain["merges"]]
    made = RobertaTokenizer(vocab=plain["vocab"], merges=merges, add_prefix_space=False, model_max_length=64)
    st_models.torch.manual_seed(3)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = RobertaConfig(vocab_size=len(made), max_position_embeddings=80, initializer_range=0.5, **sizes)
    RobertaModel(config).save_pretrained(tmp_path / "m")
    made.save_pretrained(tmp_path / "m")
    whole = st_models.SentenceTransformer(
        modules=[st_models.Transformer(str(tmp_path / "m")), st_models.Pooling(16, "mean")]
    )
    whole.save(str(tmp_path / "saved"))
    found = []
    for prefix in (False, True):
        change(tmp_path / "saved" / "tokenizer_config.json", add_prefix_space=prefix)
        assert nearness(tmp_path / "saved", st_models) >= 0.9999
        found.append(gnomon.load_encoder(tmp_path / "saved", settings=FP32).encode(["w1 w2"], role="query").data)
    assert not np.allclose(*found, atol=1e-3)


def test_token_types_of_a_pair_follow_the_tokenizers_class(st_models, tmp_path):
    folder, _ = st_models.cross(tmp_path, "bert", max_length=48)
    found = []
    for inputs in (["input_ids", "attention_mask"], ["input_ids", "token_type_ids", "attention_mask"]):
        change(folder / "tokenizer_config.json", model_input_names=inputs)
        scorer = gnomon.encode.load_scorer(folder, settings=FP32)
        theirs = st_models.CrossEncoder(str(folder))
        pairs = [("w1 river", text) for text in ("w2 bank", "money w3")]
        own = scorer.score("w1 river", [text for _, text in pairs])
        np.testing.assert_allclose(own, theirs.predict(pairs), atol=1e-4)
        found.append(own)
    assert not np.allclose(*found, atol=1e-4)
    without = TokenizerConfig(kind="RobertaTokenizer", options={})
    assert not without.reads_token_types("bert")
    assert TokenizerConfig(kind="", options={}).reads_token_types("bert")


REFUSED = {
    "auto_map": ({"auto_map": {"AutoTokenizer": ["own.Tokenizer", None]}}, "Python code"),
    "truncation_side": ({"truncation_side": "middle"}, "'middle'"),
    "added tokens": ({"added_tokens_decoder": {"x": {}}}, "added tokens"),
}


@pytest.mark.parametrize(("options", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_honoured_is_refused(model, options, said):
    change(model / "tokenizer_config.json", **options)
    with pytest.raises(ModelUnsupported, match=said):
        gnomon.load_encoder(model)


def test_a_class_that_lowers_case_and_a_file_that_keeps_it(model):
    change(model / "tokenizer.json", normalizer=None)
    with pytest.raises(ModelUnsupported, match="keeps the case") as refused:
        gnomon.load_encoder(model)
    assert "save_pretrained" in refused.value.hint


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_adapters_beside_the_weights_are_refused(model, name):
    (model / name).write_text("{}")
    with pytest.raises(ModelUnsupported, match="adapter") as refused:
        gnomon.load_encoder(model)
    assert "merge_and_unload" in refused.value.hint


def test_a_tokenizer_without_a_token_for_the_unknown(model):
    plain = json.loads((model / "tokenizer.json").read_text())
    vocabulary = [[token, -1.0] for token in plain["model"]["vocab"]]
    plain |= {"model": {"type": "Unigram", "unk_id": None, "vocab": vocabulary}, "normalizer": None}
    (model / "tokenizer.json").write_text(json.dumps(plain))
    change(model / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    with pytest.raises(ModelUnsupported, match="unk_id"):
        gnomon.load_encoder(model, settings=FP32).encode(["Ж"], role="query")
    change(model / "tokenizer_config.json", tokenizer_class="XLMRobertaTokenizer")
    assert read_tokenizer_config(model / "tokenizer.json").applied(plain)["model"]["unk_id"] == 3


def test_end_tokens_that_only_the_options_add():
    """e5-mistral: tokenizer.json adds <s>, tokenizer_config.json says add_eos_token as well."""
    from tokenizers import Tokenizer

    from support.family_models import tokenizer

    def ids(plain, *texts):
        return Tokenizer.from_str(json.dumps(plain)).encode(*texts).tokens

    begins = tokenizer("<s> $A")
    options = {"add_eos_token": True, "bos_token": "<s>", "eos_token": {"content": "</s>"}}
    applied = TokenizerConfig(kind="LlamaTokenizer", options=options).applied(begins)
    assert ids(begins, "w1") == ["<s>", "w1"]
    assert ids(applied, "w1") == ["<s>", "w1", "</s>"]
    assert ids(applied, "w1", "w2") == ["<s>", "w1", "</s>", "w2", "</s>"]
    both = TokenizerConfig(kind="GemmaTokenizer", options=options | {"add_bos_token": True})
    assert both.applied(applied) == applied
    assert ids(both.applied(begins | {"post_processor": None}), "w1") == ["<s>", "w1", "</s>"]
    for kind in ("LlamaTokenizer", "XLMRobertaTokenizer", ""):  # other classes have no such options
        config = TokenizerConfig(kind=kind, options=options | {"add_eos_token": kind != "LlamaTokenizer"})
        assert config.applied(begins) == begins
    with pytest.raises(ModelUnsupported, match="'<end>' to each text"):
        TokenizerConfig(kind="LlamaTokenizer", options=options | {"eos_token": "<end>"}).applied(begins)
