"""Two towers in one space: against sentence-transformers' Router."""

import json
import shutil

import numpy as np
import pytest

import gnomon
from gnomon.core.errors import InvalidInput, ModelUnsupported, SpaceMismatch
from gnomon.encode import DualEncoder, EncoderSettings
from gnomon.testing import HashEncoder, check_encoder

pytest.importorskip("sentence_transformers")
FP32 = EncoderSettings(threads=1, precision="fp32")
pytestmark = pytest.mark.filterwarnings("ignore::gnomon.core.errors.TruncatedText")


def reference(model, texts, role):
    encode = model.encode_query if role == "query" else model.encode_document
    return encode(texts, normalize_embeddings=True)


@pytest.fixture(scope="module")
def dual(st_models, tmp_path_factory):
    prompts = {"query": "w9 w8 ", "document": "w7 "}
    return st_models.dual(tmp_path_factory.mktemp("dual"), **prompts)


def copy(folder, to):
    shutil.copytree(folder, to)
    return to


def change(path, **keys):
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


@pytest.mark.parametrize("role", ["query", "document"])
def test_each_role_has_its_own_tower(role, dual, st_models):
    folder, model = dual
    encoder = gnomon.load_encoder(folder, settings=FP32)
    assert isinstance(encoder, DualEncoder)
    assert encoder.space.dim == 8
    found = encoder.encode(st_models.TEXTS, role=role)
    np.testing.assert_allclose(found.data, reference(model, st_models.TEXTS, role), atol=1e-5)
    assert found.space == encoder.space


def test_a_dual_encoder_keeps_every_promise(dual, st_models):
    check_encoder(gnomon.load_encoder(dual[0], settings=FP32), texts=st_models.CHECKED)


def test_a_static_query_tower(st_models, tmp_path):
    folder, model = st_models.static_dual(tmp_path)
    encoder = gnomon.load_encoder(folder, settings=FP32)
    for role in ("query", "document"):
        wanted = reference(model, st_models.CHECKED, role)
        np.testing.assert_allclose(encoder.encode(st_models.CHECKED, role=role).data, wanted, atol=1e-5)


def test_the_fingerprint_digests_both_towers_and_their_prompts(dual, tmp_path):
    first = gnomon.load_encoder(dual[0], settings=FP32).space
    moved = copy(dual[0], tmp_path / "moved")
    assert gnomon.load_encoder(moved, settings=FP32).space == first
    for number, part in enumerate(("query_1_Pooling", "document_1_Pooling")):
        other = copy(dual[0], tmp_path / str(number))
        change(other / part / "config.json", pooling_mode="max")
        with pytest.raises(SpaceMismatch):
            first.require(gnomon.load_encoder(other, settings=FP32).space)
    for role in ("query", "document"):
        told = gnomon.load_encoder(dual[0], settings=FP32, prompts={role: "w1 "})
        assert told.space != first


def test_a_prefix_of_its_dimensions(dual, st_models):
    settings = EncoderSettings(threads=1, precision="fp32", dim=3)
    short, whole = (gnomon.load_encoder(dual[0], settings=s) for s in (settings, FP32))
    found = short.encode(st_models.TEXTS, role="query")
    wanted = whole.encode(st_models.TEXTS, role="query").truncate(3)
    assert found.space == wanted.space == short.space
    np.testing.assert_allclose(found.data, wanted.data, atol=1e-6)
    with pytest.raises(InvalidInput, match="dim = 9"):
        gnomon.load_encoder(dual[0], settings=EncoderSettings(dim=9))


def test_any_two_encoders_of_one_kind_make_one():
    pair = DualEncoder(HashEncoder(16, salt="q"), HashEncoder(16, salt="d"), name="two hashes")
    check_encoder(pair)
    assert pair.space != DualEncoder(HashEncoder(16, salt="d"), HashEncoder(16, salt="q")).space
    with pytest.raises(ModelUnsupported, match="a query tower of dim 16 beside a document tower of dim 8"):
        DualEncoder(HashEncoder(16), HashEncoder(8))
    with pytest.raises(InvalidInput, match="role 'passage'"):
        pair.encode(["a"], role="passage")


REFUSED = {
    "routes by document, other": lambda f: change(f / "router_config.json", structure={"other": [], "document": []}),
    "('query', 'text')": lambda f: change(
        f / "router_config.json", parameters={"route_mappings": {"('query', 'text')": "query"}}
    ),
    "no routes that can be read": lambda f: (f / "router_config.json").unlink(),
    "the module somebody.Pooling": lambda f: change(
        f / "router_config.json",
        types=json.loads((f / "router_config.json").read_text())["types"] | {"query_1_Pooling": "somebody.Pooling"},
    ),
    "the modules Transformer -> Dense": lambda f: change(
        f / "router_config.json",
        structure={"query": ["query_0_Transformer", "query_2_Dense"], "document": []},
    ),
    "outside itself": lambda f: change(
        f / "router_config.json",
        types={"../x": "sentence_transformers.base.modules.transformer.Transformer"},
        structure={"query": ["../x"], "document": ["../x"]},
    ),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_cannot_be_run_is_refused(said, dual, tmp_path):
    folder = copy(dual[0], tmp_path / "copy")
    REFUSED[said](folder)
    with pytest.raises(ModelUnsupported) as caught:
        gnomon.load_encoder(folder, settings=FP32)
    assert said in caught.value.message
    assert caught.value.expected
    assert caught.value.hint
