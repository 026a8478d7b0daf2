"""Every transformer family, held to transformers on tiny models of the same layout."""

import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest

from gnomon.core.errors import TruncatedText
from gnomon.encode.graph.compiled import openvino_core
from gnomon.encode.graph.heads import token_model
from gnomon.encode.graph.network import build_network
from gnomon.encode.layout.families import FAMILIES
from gnomon.encode.layout.model import read_layout
from gnomon.encode.settings import EncoderSettings
from gnomon.encode.transformer import TransformerEncoder

pytest.importorskip("transformers")
from support import family_models

FP32 = EncoderSettings(threads=1, precision="fp32")
NAMES = list(family_models.FAMILIES)
# The first model of each family; the others, its variants, are slow together.
FIRST = list({family_models.model_type(name): name for name in reversed(NAMES)}.values())[::-1]


def first_of_each(quick):
    """Every model as a parameter, those that are not in `quick` marked slow."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """(name) to a tiny model's layout and the vectors that transformers gives the texts; each built once."""
    made = {}

    def get(name):
        if name not in made:
            folder, model = family_models.build(name, tmp_path_factory.mktemp(name))
            layout = read_layout(folder, name=name)
            made[name] = layout, family_models.reference(name, model, family_models.TEXTS)
        return made[name]

    return get


def cosines(layout, settings, wanted, *, alone=False):
    """To the wanted vectors, of the texts in one batch, and where `alone` of each by itself too."""
    encoder, texts = TransformerEncoder(layout, settings), family_models.TEXTS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncatedText)
        batches = [texts, *([text] for text in texts if alone)]
        rows = np.concatenate([encoder.encode(batch, role="document").data for batch in batches])
    return (rows * np.concatenate([wanted] * (1 + alone))).sum(1)


@pytest.mark.parametrize("name", first_of_each(FIRST))
def test_vectors_are_those_of_transformers(name, served):
    layout, wanted = served(name)
    assert np.abs(wanted @ wanted.T - 1).max() > 0.05, "texts of one vector would prove nothing"
    assert cosines(layout, FP32, wanted, alone=True).min() > 0.99999


@pytest.mark.parametrize("name", first_of_each(["bert"]))
def test_vectors_in_bf16_are_near(name, served):
    layout, wanted = served(name)
    floor = family_models.FAMILIES[name].bf16
    assert cosines(layout, replace(FP32, precision="bf16"), wanted).min() > floor


@pytest.mark.parametrize("name", first_of_each(["bert", "qwen3"]))
def test_vectors_on_torch_are_the_same(name, served):
    layout, wanted = served(name)
    assert cosines(layout, replace(FP32, device="torch-cpu"), wanted).min() > 0.99999


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["bert", "embeddinggemma"])
def test_weights_stored_in_16_bits(name, dtype, tmp_path):
    folder, model = family_models.build(name, tmp_path, dtype=dtype)
    wanted = family_models.reference(name, model, family_models.TEXTS)
    assert cosines(read_layout(folder, name=name), FP32, wanted).min() > 0.99999
    assert cosines(read_layout(folder, name=name), replace(FP32, precision="bf16"), wanted).min() > 0.998


def test_weights_in_16_bits_are_not_widened_in_memory(tmp_path):
    folder, _ = family_models.build("qwen3", tmp_path, dtype="bfloat16")
    network = build_network(read_layout(folder, name="tiny"))
    operations = openvino_core().compile_model(token_model(network), "CPU").get_runtime_model().get_ordered_ops()
    held = [op for op in operations if op.get_rt_info()["layerType"].astype(str) == "Const"]
    tables = [op.get_rt_info()["runtimePrecision"].astype(str) for op in held if len(op.get_output_shape(0)) == 2]
    # Three layers of seven matrices, and the embeddings.
    assert tables.count("bf16") == 22


def test_every_family_is_held_to_transformers(served):
    assert {served(name)[0].family for name in FIRST} == set(FAMILIES)


SIZES_OF_FUSION = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 32, "num_attention_heads": 2}


def test_a_gate_of_gelu_compiles_in_bf16_where_openvino_fuses_it(tmp_path):
    # At sizes that its matrix units take, OpenVINO 2026.4 ended the process: hence another one.
    family = family_models.FAMILIES["embeddinggemma"]
    wide = replace(family, more={**family.more, **SIZES_OF_FUSION, "query_pre_attn_scalar": 32})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(family_models.FAMILIES, "wide", wide)
        family_models.build("wide", tmp_path)
    code = (
        "import sys, gnomon\nfrom gnomon.encode import EncoderSettings\n"
        "made = [gnomon.load_encoder(sys.argv[1], settings=EncoderSettings(threads=1, precision=each))"
        ".encode(['w1 w2 w3'], role='document').data[0] for each in ('fp32', 'bf16')]\n"
        "print(float(made[0] @ made[1]))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert float(done.stdout) > 0.99
