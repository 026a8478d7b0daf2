"""What a model's folder says, and the fingerprint that follows from it."""

import json
import shutil
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gnomon.core.errors import InvalidInput, MissingPrompt, ModelNotFound, ModelUnsupported
from gnomon.encode.cards import Card
from gnomon.encode.layout.model import read_layout

CARD = Card(
    name="tiny",
    hub_id="some/tiny",
    kind="transformer",
    pooling="cls",
    normalise=True,
    dim=16,
    max_tokens=40,
    similarity="cosine",
    licence="MIT",
    parameters=0.1,
    prompts={"query": "card query: ", "document": "card document: "},
)
# The types, keys and files that sentence-transformers 6.2.0 wrote when it saved a model here.
V6 = {
    "Transformer": "sentence_transformers.base.modules.transformer.Transformer",
    "Pooling": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    "Dense": "sentence_transformers.base.modules.dense.Dense",
    "Normalize": "sentence_transformers.base.modules.normalize.Normalize",
    "StaticEmbedding": "sentence_transformers.sentence_transformer.modules.static_embedding.StaticEmbedding",
}


def write(path, plain):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plain))


def change(path, **keys):
    plain = json.loads(path.read_text()) if path.is_file() else {}
    write(path, plain | keys)


def modules(folder, *types):
    rows = [
        {"idx": at, "name": str(at), "path": f"{at}_{kind.split('.')[-1]}" if at else "", "type": kind}
        for at, kind in enumerate(types)
    ]
    write(folder / "modules.json", rows)


def fingerprint(folder, **more):
    return read_layout(folder, **{"name": "any"} | more).ingredients(precision="float").fingerprint()


@pytest.fixture
def model(tiny, tmp_path):
    """A tiny BERT as sentence-transformers 5 and older save it."""
    folder = tiny.write(tmp_path / "model", "bert")
    tiny.as_sentence_transformer(folder, "mean")
    return folder


@pytest.fixture
def bare(tiny, tmp_path):
    """The same as transformers saves it."""
    return tiny.write(tmp_path / "bare", "bert")


def test_the_real_model_is_read_as_its_files_say(minilm_folder):
    layout = read_layout(minilm_folder, name="all-MiniLM-L6-v2")
    assert (layout.kind, layout.family, layout.pooling) == ("transformer", "bert", "mean")
    assert (layout.dim, layout.max_tokens, layout.normalise) == (384, 256, True)
    assert (layout.similarity, layout.prompts) == ("cosine", {"query": "", "document": ""})
    # The upstream file's SHA-256 (sentence-transformers/all-MiniLM-L6-v2, model.safetensors).
    assert layout.ingredients(precision="float").weights.startswith("53aa51172d142c89")


def test_the_form_of_version_6_is_the_same_model(model, tmp_path):
    new = tmp_path / "saved by 6.2.0"
    shutil.copytree(model, new)
    modules(new, V6["Transformer"], V6["Pooling"], V6["Normalize"])
    (new / "sentence_bert_config.json").unlink()
    text = {"method": "forward", "method_output_name": "last_hidden_state"}
    said = {"transformer_task": "feature-extraction", "modality_config": {"text": text}}
    write(new / "sentence_bert_config.json", said | {"module_output_name": "token_embeddings"})
    change(new / "tokenizer_config.json", model_max_length=75)
    pooling = {"embedding_dimension": 16, "pooling_mode": "mean", "include_prompt": True}
    write(new / "1_Pooling" / "config.json", pooling)
    write(
        new / "config_sentence_transformers.json",
        {
            "prompts": {"document": "", "query": ""},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
    )
    change(new / "config.json", dtype="float32", transformers_version="5.23.0", use_cache=False)
    assert fingerprint(new) == fingerprint(model)


def test_content_decides_not_name_nor_folder_nor_the_tokenizers_own_limits(model, tmp_path):
    other = tmp_path / "another folder"
    shutil.copytree(model, other)
    change(other / "config.json", _name_or_path="someone/else", architectures=["BertModel"])
    change(other / "tokenizer.json", truncation=None, padding={"strategy": "BatchLongest"})
    (other / "README.md").write_text("another one")
    assert fingerprint(other, name="another name") == fingerprint(model)


CHANGES = {
    "tokenizer": lambda f: change(f / "tokenizer.json", normalizer={"type": "Lowercase"}),
    "architecture": lambda f: change(f / "config.json", hidden_act="relu"),
    "pooling": lambda f: write(f / "1_Pooling" / "config.json", {"pooling_mode": "cls"}),
    "prompt left out of pooling": lambda f: change(f / "1_Pooling" / "config.json", include_prompt=False),
    "query prompt": lambda f: write(f / "config_sentence_transformers.json", {"prompts": {"query": "q: "}}),
    "document prompt": lambda f: write(f / "config_sentence_transformers.json", {"prompts": {"passage": "q: "}}),
    "max tokens": lambda f: change(f / "sentence_bert_config.json", max_seq_length=74),
    "similarity": lambda f: write(f / "config_sentence_transformers.json", {"similarity_fn_name": "euclidean"}),
}


@pytest.mark.parametrize("what", CHANGES)
def test_any_changed_ingredient_is_another_space(model, what):
    before = fingerprint(model)
    CHANGES[what](model)
    assert fingerprint(model) != before


def test_normalisation_and_projection_count(tiny, tmp_path):
    import numpy as np

    weight = np.eye(4, 16, dtype=np.float32)
    seen = set()
    for number, (dense, normalise) in enumerate(
        [
            (None, True),
            (None, False),
            ((weight, None, "Tanh"), True),
            ((weight, None, "Identity"), True),
            ((2 * weight, None, "Tanh"), True),
        ]
    ):
        folder = tiny.write(tmp_path / str(number), "bert")
        tiny.as_sentence_transformer(folder, "mean", dense=dense, normalise=normalise)
        write(folder / "config_sentence_transformers.json", {"similarity_fn_name": "dot"})
        seen.add(fingerprint(folder))
    assert len(seen) == 5


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_byte_of_the_weights_counts(model, data):
    weights = model / "model.safetensors"
    held = bytearray(weights.read_bytes())
    before = fingerprint(model)
    at = data.draw(st.integers(0, len(held) - 1))
    old = held[at]
    held[at] ^= data.draw(st.integers(1, 255))
    # As a download or a save does it: a new file takes the old one's place.
    beside = model / "beside"
    beside.write_bytes(held)
    beside.replace(weights)
    assert fingerprint(model) != before
    held[at] = old
    beside.write_bytes(held)
    beside.replace(weights)
    assert fingerprint(model) == before


def test_dim_and_precision_class_count(model):
    layout = read_layout(model, name="any")
    spaces = [
        layout.ingredients(precision="float"),
        layout.ingredients(precision="int8"),
        replace(layout, dim=8).ingredients(precision="float"),
    ]
    assert len({space.fingerprint() for space in spaces}) == 3


@pytest.mark.parametrize(
    ("said", "pooling"),
    [
        ({"pooling_mode": "lasttoken"}, "last"),
        ({"pooling_mode": ["cls"]}, "cls"),
        ({"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": False}, "max"),
        ({"word_embedding_dimension": 16}, "mean"),
    ],
)
def test_pooling_in_either_form(model, said, pooling):
    write(model / "1_Pooling" / "config.json", said)
    assert read_layout(model, name="any").pooling == pooling


REFUSED = {
    "pooling mean + median": lambda f: write(f / "1_Pooling" / "config.json", {"pooling_mode": ["mean", "median"]}),
    "pooling not given": lambda f: (f / "1_Pooling" / "config.json").unlink(),
    "some_author.Whitening": lambda f: modules(f, V6["Transformer"], V6["Pooling"], "some_author.Whitening"),
    "Transformer -> Normalize -> Pooling": lambda f: modules(f, V6["Transformer"], V6["Normalize"], V6["Pooling"]),
    "outside itself": lambda f: write(
        f / "modules.json", [{"path": "../else", "type": V6["Transformer"]}, {"path": "", "type": "x"}]
    ),
    "arguments at run time (task)": lambda f: write(
        f / "modules.json", [{"path": "", "type": V6["Transformer"], "kwargs": ["task"]}]
    ),
    "not a list of modules": lambda f: (f / "modules.json").write_text("[{}]"),
    "cannot be read as JSON": lambda f: (f / "config.json").write_text('{"model_type": '),
    "transformer_task = 'fill-mask'": lambda f: change(f / "sentence_bert_config.json", transformer_task="fill-mask"),
    "config_args = {'is_decoder': True}": lambda f: change(
        f / "sentence_bert_config.json", config_args={"is_decoder": True}
    ),
    "processor_kwargs = {'do_lower_case': True": lambda f: change(
        f / "sentence_bert_config.json", processor_kwargs={"do_lower_case": True, "padding_side": "left"}
    ),
    "lower case": lambda f: change(f / "sentence_bert_config.json", do_lower_case=True),
    "'manhattan'": lambda f: write(f / "config_sentence_transformers.json", {"similarity_fn_name": "manhattan"}),
    "no tokenizer.json": lambda f: (f / "tokenizer.json").unlink(),
    "only pickled weights (pytorch_model.bin)": lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
    "no weights": lambda f: (f / "model.safetensors").unlink(),
    "model_type": lambda f: (f / "config.json").unlink(),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_cannot_be_run_is_refused_by_name(model, said):
    REFUSED[said](model)
    with pytest.raises(ModelUnsupported) as caught:
        read_layout(model, name="any")
    assert said in caught.value.message
    assert caught.value.expected
    assert caught.value.hint


def test_a_tokenizer_that_lowers_case_may_be_asked_to(model):
    change(model / "sentence_bert_config.json", do_lower_case=True)
    lower = {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}
    change(model / "tokenizer.json", normalizer=lower)
    assert read_layout(model, name="any").max_tokens == 75


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"activation_function": "torch.nn.modules.activation.Mish"}, "activation"),
        ({"module_output_name": "another"}, "to another"),
        ({"out_features": None}, "out_features"),
    ],
)
def test_dense_layers_of_another_kind_are_refused(tiny, tmp_path, keys, said):
    import numpy as np

    folder = tiny.write(tmp_path / "model", "bert")
    tiny.as_sentence_transformer(folder, "mean", dense=(np.eye(4, 16, dtype=np.float32), None, "Tanh"))
    assert read_layout(folder, name="any").dim == 4
    change(folder / "2_Dense" / "config.json", **keys)
    with pytest.raises(ModelUnsupported, match=said):
        read_layout(folder, name="any")


def test_trained_pooling_is_in_the_fingerprint(tiny, tmp_path):
    import numpy as np
    from safetensors.numpy import save_file

    folder = tiny.write(tmp_path / "model", "bert")
    tiny.as_sentence_transformer(folder, "attention")
    first = fingerprint(folder)
    query = folder / "1_AttentionPooling" / "model.safetensors"
    save_file({"query": tiny.attention_query() * 2}, query)
    assert fingerprint(folder) != first
    save_file({"query": np.ones(15, dtype=np.float32)}, query)
    with pytest.raises(ModelUnsupported, match=r"a query of shape \[15\] where config.json says dim = 16"):
        read_layout(folder, name="any")
    query.unlink()
    with pytest.raises(ModelUnsupported, match="query of trained pooling"):
        read_layout(folder, name="any")


def test_pooling_is_never_guessed(bare):
    with pytest.raises(ModelUnsupported) as caught:
        read_layout(bare, name="any")
    assert "no modules.json" in caught.value.message
    assert "Pooling" in caught.value.hint
    assert read_layout(bare, name="any", card=CARD).pooling == "cls"


def test_a_path_that_is_no_folder(tmp_path):
    with pytest.raises(ModelNotFound, match="is not a folder"):
        read_layout(tmp_path / "nothing", name="any")


# ---- length


@pytest.mark.parametrize(("family", "tokens"), [("bert", 80), ("distilbert", 80), ("roberta", 78), ("mpnet", 78)])
def test_positions_limit_the_length(tiny, tmp_path, family, tokens):
    # The tiny models have 80 positions; RoBERTa and MPNet spend the first two on padding.
    folder = tiny.write(tmp_path, family)
    assert read_layout(folder, name="any", card=replace(CARD, max_tokens=1000)).max_tokens == tokens


def test_the_smallest_of_all_lengths_counts(model, bare):
    assert read_layout(model, name="any").max_tokens == 75
    assert read_layout(model, name="any", card=CARD).max_tokens == 40
    change(bare / "tokenizer_config.json", model_max_length=33)
    assert read_layout(bare, name="any", card=CARD).max_tokens == 33
    change(bare / "tokenizer_config.json", model_max_length=10**30)
    assert read_layout(bare, name="any", card=replace(CARD, max_tokens=1000)).max_tokens == 80


def test_a_length_that_nobody_says(model):
    (model / "sentence_bert_config.json").unlink()
    change(model / "config.json", max_position_embeddings=None)
    with pytest.raises(ModelUnsupported, match="how long a text may be"):
        read_layout(model, name="any")


def test_arguments_that_change_no_vector_are_read_over(model):
    before = fingerprint(model)
    said = {"model_args": {"torch_dtype": "float16"}, "tokenizer_args": {"padding_side": "left"}, "config_args": {}}
    change(model / "sentence_bert_config.json", **said)
    assert fingerprint(model) == before
    change(model / "sentence_bert_config.json", processor_kwargs={"model_max_length": 30})
    assert read_layout(model, name="any").max_tokens == 30


# ---- prompts


def prompts(folder, said=None, **more):
    if said is not None:
        write(folder / "config_sentence_transformers.json", said)
    return read_layout(folder, **{"name": "tiny"} | more).prompts


def test_prompts_caller_before_folder_before_card(model):
    assert prompts(model) == {"query": "", "document": ""}
    assert prompts(model, card=CARD) == CARD.prompts
    own = {"prompts": {"query": "own: "}}
    assert prompts(model, own, card=CARD) == {"query": "own: ", "document": "card document: "}
    given = {"query": "", "document": "mine: "}
    assert prompts(model, own, card=CARD, prompts=given) == given


def test_empty_prompts_of_a_folder_say_nothing(model):
    # sentence-transformers 5 and 6 fill in "" for both roles when they save a model.
    filled = {"prompts": {"query": "", "document": ""}, "default_prompt_name": None}
    assert prompts(model, filled, card=CARD) == CARD.prompts


def test_a_default_prompt_goes_to_both_roles(model):
    said = {"prompts": {"retrieval": "any: ", "query": "query: "}, "default_prompt_name": "retrieval"}
    assert prompts(model, said) == {"query": "query: ", "document": "any: "}


@pytest.mark.parametrize("key", ["document", "passage", "corpus"])
def test_the_document_prompt_has_three_names(model, key):
    assert prompts(model, {"prompts": {key: "d: "}})["document"] == "d: "


def test_a_prompt_that_must_be_there(model):
    card = replace(CARD, prompts={}, needs_prompts=("query",))
    with pytest.raises(MissingPrompt, match="trained with a prompt for each query") as caught:
        prompts(model, card=card)
    assert "prompts={'query'" in caught.value.hint
    assert prompts(model, card=card, prompts={"query": "do: "})["query"] == "do: "
    assert prompts(model, card=card, prompts={"query": ""})["query"] == ""


def test_named_prompts_of_which_none_fits_a_role(model):
    said = {"prompts": {"clustering": "cluster: ", "sts": "sts: "}}
    with pytest.raises(MissingPrompt, match="clustering, sts") as caught:
        prompts(model, said)
    assert "[model].prompts" in caught.value.hint  # what a command line, which takes none, can do
    assert prompts(model, said, prompts={"query": "", "document": ""}) == {"query": "", "document": ""}


@pytest.mark.parametrize("given", [{"passage": "p: "}, {"query": 3}])
def test_prompts_for_other_roles_are_refused(model, given):
    with pytest.raises(InvalidInput, match="prompts for tiny"):
        prompts(model, prompts=given)


# ---- other forms


def test_static_models_in_three_forms(tiny, tmp_path):
    import numpy as np
    from safetensors.numpy import save_file

    forms = {
        "model2vec": {"model_type": "model2vec", "normalize": True, "seq_length": 1_000_000},
        "early": {"tokenizer_name": "any", "hidden_dim": 6, "seq_length": 1_000_000, "normalize": True},
        "st": None,
    }
    for form, config in forms.items():
        folder = tmp_path / form
        base = folder / "0_StaticEmbedding" if form == "st" else folder
        base.mkdir(parents=True)
        name = "embedding.weight" if form == "st" else "embeddings"
        save_file({name: np.ones((36, 6), dtype=np.float32)}, base / "model.safetensors")
        write(base / "tokenizer.json", tiny.tokenizer("bert"))
        if config:
            write(folder / "config.json", config)
        else:
            rows = [("0_StaticEmbedding", "StaticEmbedding"), ("1_Normalize", "Normalize")]
            write(folder / "modules.json", [{"path": path, "type": V6[kind]} for path, kind in rows])
        layout = read_layout(folder, name="any")
        assert (layout.kind, layout.dim, layout.max_tokens) == ("static", 6, 1_000_000), form
        assert layout.weights == base / "model.safetensors"


def test_a_static_model_cut_off_in_its_header(tiny, tmp_path):
    write(tmp_path / "config.json", {"model_type": "model2vec"})
    write(tmp_path / "tokenizer.json", tiny.tokenizer("bert"))
    (tmp_path / "model.safetensors").write_bytes((500).to_bytes(8, "little") + b'{"embeddings"')
    with pytest.raises(ModelUnsupported, match="not a whole safetensors file"):
        read_layout(tmp_path, name="any")


def test_weights_below_the_first_module_and_in_shards(model, tmp_path):
    folder = tmp_path / "old"
    base = folder / "0_Transformer"
    shutil.copytree(model, base)
    for part in ("modules.json", "1_Pooling"):
        shutil.move(base / part, folder / part)
    rows = json.loads((folder / "modules.json").read_text())
    rows[0]["path"] = "0_Transformer"
    write(folder / "modules.json", rows)
    assert read_layout(folder, name="any").tokenizer == base / "tokenizer.json"
    whole = fingerprint(folder)
    (base / "model.safetensors").rename(base / "model-00001-of-00001.safetensors")
    named = {"weight_map": {"a": "model-00001-of-00001.safetensors"}}
    write(base / "model.safetensors.index.json", named)
    assert fingerprint(folder) != whole
    named["weight_map"]["b"] = "model-00002-of-00002.safetensors"
    write(base / "model.safetensors.index.json", named)
    with pytest.raises(ModelUnsupported, match=r"model-00002-of-00002\.safetensors, not there"):
        fingerprint(folder)


def test_onnx_only_where_there_is_nothing_else(model):
    (model / "onnx").mkdir()
    (model / "onnx" / "model.onnx").write_bytes(b"graph")
    assert read_layout(model, name="any").weights.name == "model.safetensors"
    (model / "model.safetensors").unlink()
    assert read_layout(model, name="any").weights == model / "onnx" / "model.onnx"
    seen = {fingerprint(model)}
    for part in ("model.onnx_data", "Constant_7_attr__value"):
        (model / "onnx" / part).write_bytes(b"weights of more than 2 GB")
        seen.add(fingerprint(model))
    assert len(seen) == 3
