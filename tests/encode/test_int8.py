"""8 bits, when asked for: near fp32, a space of its own, the same every time."""

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from gnomon.core.errors import InvalidInput, ModelUnsupported
from gnomon.encode.layout.model import read_layout
from gnomon.encode.runtime import calibration
from gnomon.encode.runtime.tokenizer import TextTokenizer
from gnomon.encode.settings import EncoderSettings
from gnomon.encode.static import StaticEncoder
from gnomon.encode.transformer import TransformerEncoder
from gnomon.testing.encoder import check_encoder

INT8 = EncoderSettings(threads=1, precision="int8")
FP32 = EncoderSettings(threads=1, precision="fp32")
SLOW = pytest.mark.slow
# None of these is a calibration text.
TEXTS = [
    "How does a sundial tell the time?",
    "The gnomon casts a shadow on the dial, and the shadow's angle gives the hour.",
    "Statins lower cholesterol in adults; in this trial of 1,204 patients deaths fell by a tenth.",
    "for path in folder.glob('*.md'): print(path.read_text()[:80])",
    "Der Vertrag endet, ohne dass es einer Kündigung bedarf.",
    "almond",
    " ".join(["The valley lay in the shade until ten in the morning, and the snow stayed there."] * 12),
]


@pytest.fixture(scope="module")
def minilm_int8(minilm_folder):
    return TransformerEncoder(read_layout(minilm_folder, name="all-MiniLM-L6-v2"), INT8)


def test_minilm_in_int8_stays_near_fp32(minilm_int8, minilm_folder):
    exact = TransformerEncoder(read_layout(minilm_folder, name="all-MiniLM-L6-v2"), FP32)
    wanted = exact.encode(TEXTS, role="document")
    found = minilm_int8.encode(TEXTS, role="document")
    cosines = (found.data * wanted.data).sum(1)
    assert cosines.mean() > 0.999
    assert cosines.min() > 0.997
    assert cosines.max() < 0.99995, "that is not 8 bits"
    assert found.space.precision == "int8"
    assert found.space != wanted.space


def test_minilm_in_int8_keeps_every_promise(minilm_int8):
    # Company changes a batch's shape, and with it which kernels round: a level up or down at every layer.
    check_encoder(minilm_int8, tolerance=2e-3)


@pytest.mark.parametrize("family", ["bert", "distilbert", *(pytest.param(n, marks=SLOW) for n in ("roberta", "mpnet"))])
def test_every_family_runs_in_int8_and_its_way_back_does_not(family, tiny_layout, tiny):
    layout = tiny_layout(family)
    encoder = TransformerEncoder(layout, INT8)
    rows = encoder.encode([tiny.SHORT, tiny.LONG], role="document").data
    exact = TransformerEncoder(layout, FP32).encode([tiny.SHORT, tiny.LONG], role="document").data
    assert (rows * exact).sum(1).min() > 0.99
    narrow = ("ffn.lin2",) if family == "distilbert" else ("output.dense",)
    ranges = _ranges(layout)
    assert len(ranges) == tiny.LAYERS * 5
    assert not any(name.endswith(narrow) and "attention" not in name for name in ranges)
    assert encoder.tokens([tiny.SHORT])[0].vectors.shape == (3, tiny.HIDDEN)


@pytest.fixture
def known_words(monkeypatch):
    """Calibration with words that the models of tests/support/family_models.py know."""
    pytest.importorskip("transformers")
    from support.family_models import TEXTS, WORDS

    lines = [" ".join(WORDS[(at * step) % 40] for at in range(1, 12)) for step in range(1, 40)]
    monkeypatch.setattr(calibration, "calibration_texts", lambda: tuple(lines))
    return [text for text in TEXTS[:-1] if text]


def test_a_family_of_gated_layers_in_int8(known_words, tmp_path):
    from support import family_models

    layout = read_layout(family_models.build("modernbert", tmp_path)[0], name="modernbert")
    assert len(_ranges(layout)) == 3 * 3, "the last of a layer's four products stays in floating point"
    exact, found = (
        TransformerEncoder(layout, settings).encode(known_words, role="document") for settings in (FP32, INT8)
    )
    cosines = (found.data * exact.data).sum(1)
    assert 0.99 < cosines.min() < 0.99995
    assert found.space != exact.space


def test_layers_that_share_their_weights_are_refused_in_int8(tmp_path):
    pytest.importorskip("transformers")
    from support import family_models

    layout = read_layout(family_models.build("albert", tmp_path)[0], name="albert")
    with pytest.raises(ModelUnsupported, match=r"albert in 8 bits: the layers of .* share their weights"):
        TransformerEncoder(layout, INT8)


def _ranges(layout):
    from gnomon.encode.graph.int8 import calibrate

    tokenizer = TextTokenizer(layout.tokenizer, prompts=layout.prompts, max_tokens=layout.max_tokens, threads=1)
    return calibrate(layout, calibration.calibration_rows(tokenizer), migration=0.6, threads=1)


def test_two_encoders_made_apart_are_the_same_to_the_bit(tiny_layout, tiny):
    layout = tiny_layout("bert")
    rows = [TransformerEncoder(layout, INT8).encode([tiny.LONG], role="query").data for _ in range(2)]
    np.testing.assert_array_equal(*rows)


def test_how_it_is_calibrated_is_part_of_the_space(tiny_layout, monkeypatch):
    layout = tiny_layout("bert")
    space = TransformerEncoder(layout, INT8).space
    assert TransformerEncoder(layout, replace(INT8, threads=2)).space == space
    assert space.fingerprint != layout.ingredients(precision="int8").fingerprint()
    monkeypatch.setattr(calibration, "MIGRATION_STRENGTH", 0.5)
    assert TransformerEncoder(layout, INT8).space != space
    monkeypatch.undo()
    monkeypatch.setattr(calibration, "calibration_texts", lambda: ("another text",))
    assert TransformerEncoder(layout, INT8).space != space


def test_calibration_texts_are_short_and_long_and_not_those_of_the_check(minilm_folder):
    layout = read_layout(minilm_folder, name="m")
    tokenizer = TextTokenizer(layout.tokenizer, prompts={}, max_tokens=256, threads=1)
    rows = calibration.calibration_rows(tokenizer)
    lengths = [len(row) for row in rows]
    assert min(lengths) < 5
    assert sum(length > 200 for length in lengths) >= 3
    known = {tuple(row) for row in rows}
    probes = calibration.probe_rows(tokenizer)
    assert len(probes) >= 8
    assert not any(tuple(row) in known for row in probes)


def test_vectors_that_stray_from_fp32_are_refused(tiny_layout, monkeypatch):
    from gnomon.encode.graph import int8

    exact = np.eye(4, dtype=np.float32)
    near = exact + np.float32(0.01)
    int8.require_faithful(near, exact, "tiny")
    for far in (exact + np.float32(0.2), np.full_like(exact, np.nan)):
        with pytest.raises(ModelUnsupported, match=r"tiny in 8 bits keeps a mean cosine of (0\.\d+|nan)") as told:
            int8.require_faithful(far, exact, "tiny")
        assert told.value.hint == 'leave precision at "auto"'
    # An encoder asks this of itself, when it is first used.
    monkeypatch.setattr(int8, "LEAST_COSINE", 1.1)
    with pytest.raises(ModelUnsupported, match=r"in 8 bits keeps a mean cosine of 0\.99"):
        TransformerEncoder(tiny_layout("bert"), INT8).encode(["w1"], role="query")


def test_models_that_cannot_are_told(tiny, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "model2vec", "normalize": true}')
    (tmp_path / "tokenizer.json").write_text(__import__("json").dumps(tiny.tokenizer("bert")))
    save_file({"embeddings": np.eye(36, 6, dtype=np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(InvalidInput, match=r"'int8' for tiny, a static model"):
        StaticEncoder(read_layout(tmp_path, name="tiny"), INT8)
    with pytest.raises(InvalidInput, match=r"precision 'int8' on cuda"):
        EncoderSettings(precision="int8", device="cuda")
