"""Late interaction: against sentence-transformers' MultiVectorEncoder."""

import json
import shutil

import numpy as np
import pytest

import gnomon
from gnomon.core.errors import InvalidInput, ModelUnsupported, TruncatedText
from gnomon.encode import EncoderSettings, LateEncoder
from gnomon.index.exact import ExactIndex
from gnomon.testing import check_encoder

pytest.importorskip("sentence_transformers")
FP32 = EncoderSettings(threads=1, precision="fp32")
MARKERS = {"query": "[unused0] ", "document": "[unused1] "}
FIXED = {"strategy": "fixed", "length": 12, "attend": False}
FORMS = {
    "ColBERT's": {"query_expansion": FIXED, "document_length": 20, "prompts": MARKERS},
    "seen by the others": {"query_expansion": FIXED | {"attend": True}},
    "at least so long": {"query_expansion": FIXED | {"strategy": "min", "token": "[unused1]"}},
    "at least so long, to a limit": {
        "query_expansion": FIXED | {"strategy": "min"},
        "query_length": 15,
    },
    "lengths alone": {"query_length": 10, "document_length": 18},
    "punctuation of queries too": {
        "mask": {"skiplist_tasks": ["query", "document"]},
        "query_expansion": FIXED,
    },
}


def items(vectors):
    return np.split(vectors.data, vectors.starts[1:])


def reference(model, texts, role):
    return [np.asarray(rows) for rows in (model.encode_query if role == "query" else model.encode_document)(texts)]


@pytest.fixture(scope="module")
def colbert(st_models, tmp_path_factory):
    return st_models.late(tmp_path_factory.mktemp("late"), **FORMS["ColBERT's"])


@pytest.mark.filterwarnings("ignore::gnomon.core.errors.TruncatedText")
@pytest.mark.parametrize("form", FORMS)
def test_token_vectors_are_those_of_sentence_transformers(form, st_models, tmp_path):
    folder, model = st_models.late(tmp_path, **FORMS[form])
    encoder = gnomon.load_encoder(folder, settings=FP32)
    assert isinstance(encoder, LateEncoder)
    for role in ("query", "document"):
        vectors = encoder.encode(st_models.TEXTS, role=role)
        assert vectors.space.similarity == "maxsim"
        wanted = reference(model, st_models.TEXTS, role)
        assert [len(rows) for rows in items(vectors)] == [len(rows) for rows in wanted]
        np.testing.assert_allclose(vectors.data, np.concatenate(wanted), atol=1e-4)


@pytest.mark.slow
def test_minilm_with_a_random_projection(st_models, minilm_folder, tmp_path):
    expansion = {"strategy": "fixed", "length": 32, "attend": False}
    folder, model = st_models.late(tmp_path, backbone=str(minilm_folder), query_expansion=expansion)
    encoder = gnomon.load_encoder(folder, settings=FP32)
    texts = ["How does a sundial tell the time?", "The gnomon's shadow, on the dial: an hour!", "tea"]
    for role in ("query", "document"):
        wanted = np.concatenate(reference(model, texts, role))
        np.testing.assert_allclose(encoder.encode(texts, role=role).data, wanted, atol=1e-3)


def test_it_keeps_every_promise(st_models, tmp_path):
    folder, _ = st_models.late(tmp_path, query_expansion=FIXED | {"strategy": "min"}, document_length=40)
    check_encoder(gnomon.load_encoder(folder, settings=FP32), texts=st_models.CHECKED)


def test_limits_are_the_roles_own_and_told(colbert):
    encoder = gnomon.load_encoder(colbert[0], settings=FP32)
    long = "w1 " * 15
    assert encoder.max_tokens == 20
    assert encoder.count_tokens([long, "w1"], role="query") == [18, 4]
    encoder.encode([long], role="document")
    with pytest.warns(TruncatedText, match="longer than the 12 tokens"):
        encoder.encode([long], role="query")


def test_an_index_of_its_space_finds_the_text_itself(colbert, st_models):
    encoder = gnomon.load_encoder(colbert[0], settings=FP32)
    index = ExactIndex(encoder.space)
    index.add(np.arange(4), encoder.encode(st_models.CHECKED, role="document"))
    found = index.search(encoder.encode(st_models.CHECKED, role="document"), k=1)
    assert [int(ranking.ids[0]) for ranking in found] == [0, 1, 2, 3]


def test_a_text_of_which_no_token_counts(st_models, tmp_path):
    folder, _ = st_models.late(tmp_path)
    path = folder / "2_MultiVectorMask" / "config.json"
    plain = json.loads(path.read_text())
    path.write_text(json.dumps(plain | {"skiplist_words": ["[CLS]", "[SEP]", "w1"]}))
    encoder = gnomon.load_encoder(folder, settings=FP32)
    with pytest.raises(InvalidInput, match=r"1 texts of which no token counts, at positions \[1\]"):
        encoder.encode(["w2 w1", "w1"], role="document")
    assert len(encoder.encode(["w2 w1", "w1"], role="query").data) == 7


def change(path, **keys):
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


CHANGES = {
    "mask": lambda f: change(f / "2_MultiVectorMask" / "config.json", skiplist_words=["."]),
    "roles": lambda f: change(f / "2_MultiVectorMask" / "config.json", skiplist_tasks=[]),
    "length": lambda f: change(f / "sentence_bert_config.json", document_length=21),
    "expansion": lambda f: change(f / "sentence_bert_config.json", query_expansion=FIXED | {"attend": True}),
    "prompt": lambda f: change(f / "config_sentence_transformers.json", prompts={"query": "w1 "}),
}


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_decides_a_vector_is_in_the_fingerprint(what, colbert, tmp_path):
    folder = shutil.copytree(colbert[0], tmp_path / "copy")
    first = gnomon.load_encoder(folder, settings=FP32).space
    assert first == gnomon.load_encoder(colbert[0], settings=FP32).space
    CHANGES[what](folder)
    assert gnomon.load_encoder(folder, settings=FP32).space != first


REFUSED = {
    "meanmaxsim": lambda f: change(f / "config_sentence_transformers.json", similarity_fn_name="meanmaxsim"),
    "an older form (query_prefix)": lambda f: change(f / "config_sentence_transformers.json", query_prefix="[Q] "),
    "keep_only_token_ids": lambda f: change(f / "2_MultiVectorMask" / "config.json", keep_only_token_ids=[4]),
    "skiplist_tasks passage": lambda f: change(f / "2_MultiVectorMask" / "config.json", skiplist_tasks=["passage"]),
    "Transformer -> Dense -> MultiVectorMask": lambda f: (f / "modules.json").write_text(
        json.dumps(json.loads((f / "modules.json").read_text())[:3])
    ),
    "query_expansion and no MultiVectorMask": lambda f: (f / "modules.json").write_text(
        json.dumps([row for row in json.loads((f / "modules.json").read_text()) if "Mask" not in row["type"]])
    ),
    "a Normalize module for sentence_embedding": lambda f: change(
        f / "3_Normalize" / "config.json", module_input_name="sentence_embedding", module_output_name=None
    ),
    "a Dense layer from sentence_embedding": lambda f: change(
        f / "1_Dense" / "config.json", module_input_name="sentence_embedding"
    ),
    "'fixed', 'length': 0": lambda f: change(f / "sentence_bert_config.json", query_expansion=FIXED | {"length": 0}),
    "lengths of {'query': 12, 'document': 65}": lambda f: change(f / "sentence_bert_config.json", document_length=65),
    "augments queries with 'nothing'": lambda f: change(
        f / "sentence_bert_config.json", query_expansion=FIXED | {"token": "nothing"}
    ),
    "a tokenizer without a mask token": lambda f: change(f / "tokenizer_config.json", mask_token=None),
    "the family 'roformer'": lambda f: change(f / "config.json", model_type="roformer"),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_cannot_be_run_is_refused(said, colbert, tmp_path):
    folder = shutil.copytree(colbert[0], tmp_path / "copy")
    REFUSED[said](folder)
    with pytest.raises(ModelUnsupported) as caught:
        gnomon.load_encoder(folder, settings=FP32)
    assert said in caught.value.message
    assert caught.value.expected
    assert caught.value.hint


@pytest.mark.parametrize("settings", [{"precision": "int8"}, {"device": "torch-cpu"}])
def test_settings_that_it_does_not_run_on(settings, colbert):
    with pytest.raises(InvalidInput, match="CPU and floating point"):
        gnomon.load_encoder(colbert[0], settings=EncoderSettings(**settings))


def test_a_prefix_of_its_dimensions(colbert, st_models):
    encoder = gnomon.load_encoder(colbert[0], settings=EncoderSettings(threads=1, precision="fp32", dim=5))
    vectors = encoder.encode(st_models.CHECKED, role="query")
    assert vectors.space == encoder.space
    np.testing.assert_allclose(np.linalg.norm(vectors.data, axis=1), 1, atol=1e-6)
