"""Static models: the mean of table rows, as a loop computes it."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from gnomon.core.errors import ModelUnsupported, TruncatedText, UnknownText
from gnomon.core.unknown_text import are_unknown
from gnomon.encode.layout.model import read_layout
from gnomon.encode.settings import EncoderSettings
from gnomon.encode.static import StaticEncoder
from gnomon.testing.encoder import check_encoder

ONE = EncoderSettings(threads=1)
RNG = np.random.default_rng(5)
TABLE = RNG.standard_normal((36, 6)).astype(np.float32)
WEIGHTS = RNG.uniform(0.5, 2.0, 36).astype(np.float32)
MAPPING = RNG.integers(0, 12, 36).astype(np.int64)


def model2vec(folder, tiny, tensors, **config):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "model2vec", "normalize": True, **config}))
    (folder / "tokenizer.json").write_text(json.dumps(tiny.tokenizer("bert")))
    save_file(tensors, folder / "model.safetensors")
    return read_layout(folder, name="tiny static")


def slow_twin(text, table, mapping, weights, *, known_only=True):
    rows = []
    for word in text.split():
        number = 4 + int(word[1:]) if int(word[1:]) < 32 else 1
        if number == 1 and known_only:
            continue
        rows.append(table[mapping[number]] * weights[number])
    mean = np.mean(rows, axis=0)
    return mean / np.linalg.norm(mean)


@pytest.fixture(scope="module")
def full(tiny, tmp_path_factory):
    tensors = {"embeddings": TABLE[:12], "mapping": MAPPING, "weights": WEIGHTS}
    return StaticEncoder(model2vec(tmp_path_factory.mktemp("full") / "m", tiny, tensors), ONE)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_it_is_the_weighted_mean_without_unknown_tokens(full, data):
    words = st.lists(st.integers(0, 40).map("w{}".format), min_size=1, max_size=30)
    known = words.filter(lambda ws: any(int(w[1:]) < 32 for w in ws)).map(" ".join)
    texts = data.draw(st.lists(known, min_size=1, max_size=8))
    rows = full.encode(texts, role="document").data
    wanted = [slow_twin(text, TABLE[:12], MAPPING, WEIGHTS) for text in texts]
    np.testing.assert_allclose(rows, wanted, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8])
def test_a_bare_table(dtype, tiny, tmp_path):
    table = (TABLE * 30).astype(dtype)
    encoder = StaticEncoder(model2vec(tmp_path, tiny, {"embeddings": table}), ONE)
    wanted = slow_twin("w1 w2 w40", table, np.arange(36), np.ones(36))
    np.testing.assert_allclose(encoder.encode(["w1 w2 w40"], role="query").data[0], wanted, atol=1e-3)


def test_sentence_transformers_layout_means_over_unknown_tokens_too(tiny, tmp_path):
    model2vec(tmp_path, tiny, {"embedding.weight": TABLE})
    (tmp_path / "config.json").unlink()
    modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.StaticEmbedding"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    encoder = StaticEncoder(read_layout(tmp_path, name="tiny"), ONE)
    wanted = slow_twin("w1 w2 w40", TABLE, np.arange(36), np.ones(36), known_only=False)
    np.testing.assert_allclose(encoder.encode(["w1 w2 w40"], role="query").data[0], wanted, atol=1e-5)


def test_it_keeps_every_promise(tiny, tmp_path):
    layout = model2vec(tmp_path, tiny, {"embeddings": TABLE})
    # Only known tokens count, and the check counts sundials.
    layout.tokenizer.write_text(layout.tokenizer.read_text().replace('"w31"', '"sundial"'))
    check_encoder(StaticEncoder(layout, ONE), texts=["w1 w2", "w3", "w4 w5 w6 w7"])


def test_texts_without_a_known_token_get_a_vector_near_no_other_and_are_named(full):
    with pytest.warns(UnknownText, match=r"2 of 4 texts have no token that .* knows \(number 2, 4\)"):
        rows = full.encode(["w1", "", "w2", "w99"], role="document").data
    assert are_unknown(rows).tolist() == [False, True, False, True]
    np.testing.assert_array_equal(rows[[0, 2]], full.encode(["w1", "w2"], role="document").data)
    short = StaticEncoder(full._layout, EncoderSettings(threads=1, dim=4)).encode(["", "w1"], role="query").data
    assert are_unknown(short).tolist() == [True, False]


def test_over_long_texts_are_cut_and_told(tiny, tmp_path):
    encoder = StaticEncoder(model2vec(tmp_path, tiny, {"embeddings": TABLE}, seq_length=3), ONE)
    with pytest.warns(TruncatedText, match=r"1 of 2 texts .* 3 tokens .*longest: 5 tokens"):
        rows = encoder.encode(["w1 w2 w3 w4 w5", "w1 w40 w2 w3"], role="query").data
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-6)
    assert encoder.count_tokens(["w1 w40 w2"], role="query") == [2]


def test_a_prefix_is_a_space_of_its_own(tiny, tmp_path):
    layout = model2vec(tmp_path, tiny, {"embeddings": TABLE})
    cut = StaticEncoder(layout, EncoderSettings(threads=1, dim=2))
    whole = StaticEncoder(layout, ONE)
    found = cut.encode(["w1 w2"], role="query")
    assert found.space == cut.space == whole.space.truncate(2)
    np.testing.assert_allclose(found.data, whole.encode(["w1 w2"], role="query").truncate(2).data)


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({"embeddings": TABLE[:30]}, "30 rows"),
        ({"embeddings": TABLE, "mapping": MAPPING[:30]}, "a mapping that misses tokens"),
        ({"embeddings": TABLE[:5], "mapping": MAPPING}, "leads out of the table"),
        ({"embeddings": TABLE, "weights": WEIGHTS[:30]}, "weights that miss tokens"),
    ],
)
def test_a_table_that_does_not_fit_its_tokenizer_is_refused(tensors, told, tiny, tmp_path):
    layout = model2vec(tmp_path, tiny, tensors)
    with pytest.raises(ModelUnsupported, match=told):
        StaticEncoder(layout, ONE)


def test_unknown_tokens_of_a_unigram_model_are_left_out(tiny, tmp_path):
    vocabulary = [["<unk>", 0.0], *([f"▁w{number}", -1.0] for number in range(4)), ["▁", -5.0]]
    model = {"type": "Unigram", "unk_id": 0, "vocab": vocabulary, "byte_fallback": False}
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    plain = tiny.tokenizer("bert") | {"model": model, "pre_tokenizer": metaspace, "added_tokens": []}
    tmp_path.joinpath("tokenizer.json").write_text(json.dumps(plain | {"post_processor": None}))
    tmp_path.joinpath("config.json").write_text(json.dumps({"model_type": "model2vec", "normalize": True}))
    table = np.random.default_rng(2).standard_normal((6, 8)).astype(np.float32)
    save_file({"embeddings": table}, tmp_path / "model.safetensors")
    encoder = StaticEncoder(read_layout(tmp_path, name="unigram"))
    assert encoder.count_tokens(["w1 w2", "w1 Ж w2"], role="query") == [2, 3]  # "▁" is known, "Ж" is not
    mean = table[[2, 5, 3]].mean(0)
    np.testing.assert_allclose(
        encoder.encode(["w1 Ж w2"], role="query").data[0], mean / np.linalg.norm(mean), atol=1e-6
    )
