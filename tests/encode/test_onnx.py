"""Other families run from their ONNX file."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.layout.families import FAMILIES
from gnomon.encode.layout.model import read_layout
from gnomon.encode.settings import EncoderSettings
from gnomon.encode.transformer import TransformerEncoder
from gnomon.testing.encoder import check_encoder

FP32 = EncoderSettings(threads=1, precision="fp32")
FLOAT, INT64 = 1, 7  # onnx.TensorProto.DataType


def field(number, value):
    """One protobuf field: an int as a varint, bytes with their length before them."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def node(kind, inputs, output, **attributes):
    named = [field(5, field(1, k) + field(3, v) + field(20, 2)) for k, v in attributes.items()]
    return field(1, b"".join([*(field(1, i) for i in inputs), field(2, output), field(4, kind), *named]))


def value(number, name, kind, rank):
    shape = b"".join(field(1, field(2, f"{name}{axis}")) for axis in range(rank))
    return field(number, field(1, name) + field(2, field(1, field(1, kind) + field(2, shape))))


def initializer(name, array):
    kind = FLOAT if array.dtype == np.float32 else INT64
    dims = b"".join(field(1, size) for size in array.shape)
    return field(5, dims + field(2, kind) + field(8, name) + field(9, array.tobytes()))


def external(name, array, location):
    """An initializer whose values are in another file."""
    dims = b"".join(field(1, size) for size in array.shape)
    said = [field(13, field(1, key) + field(2, text)) for key, text in (("location", location), ("offset", "0"))]
    return field(5, dims + field(2, FLOAT) + field(8, name) + b"".join(said) + field(14, 1))


def onnx_file(table, *, extra=(), output="last_hidden_state", location="", shift="token_type_ids"):
    """input_ids looked up, times the sum of the mask, plus `shift`: all inputs must arrive."""
    nodes = [
        node("Gather", ["table", "input_ids"], "words", axis=0),
        node("Cast", ["attention_mask"], "mask", to=FLOAT),
        node("ReduceSum", ["mask", "axis"], "count", keepdims=1),
        node("Unsqueeze", ["count", "last"], "counts"),
        node("Mul", ["words", "counts"], "scaled"),
        node("Cast", [shift], "types", to=FLOAT),
        node("Unsqueeze", ["types", "last"], "shift"),
        node("Add", ["scaled", "shift"], output),
    ]
    inputs = [value(11, name, INT64, 2) for name in ("input_ids", "attention_mask", shift, *extra)]
    constants = [
        external("table", table, location) if location else initializer("table", table),
        initializer("axis", np.array([1], np.int64)),
        initializer("last", np.array([2], np.int64)),
    ]
    graph = b"".join([*nodes, field(2, "tiny"), *constants, *inputs, value(12, output, FLOAT, 3)])
    return field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13))


@pytest.fixture
def folder(tiny_layout, tiny):
    """A model of a family without a graph, with and ONNX file beside its weights."""
    layout = tiny_layout("bert", config={"model_type": "gazelle"}, normalise=False)
    (layout.folder / "onnx").mkdir()
    table = np.random.default_rng(1).standard_normal((36, 16)).astype(np.float32)
    (layout.folder / "onnx" / "model.onnx").write_bytes(onnx_file(table))
    save_file({"words": table}, layout.folder / "model.safetensors")
    return layout.folder, table


def test_the_onnx_file_is_run_with_mask_and_pooling(folder):
    at, table = folder
    encoder = TransformerEncoder(read_layout(at, name="gazelle"), FP32)
    found = encoder.tokens(["w1", "w2 w3 w4"])
    # w1 is id 5; [CLS] w1 [SEP] are 3 tokens: padding must not be counted by the mask.
    np.testing.assert_allclose(found[0].vectors, table[[5]] * 3, rtol=1e-5)
    np.testing.assert_allclose(found[1].vectors, table[[6, 7, 8]] * 5, rtol=1e-5)
    mean = table[[2, 6, 7, 8, 3]].mean(0)
    rows = encoder.encode(["w1", "w2 w3 w4"], role="query").data
    np.testing.assert_allclose(rows[1], mean / np.linalg.norm(mean), atol=1e-6)


def test_it_keeps_every_promise(folder):
    encoder = TransformerEncoder(read_layout(folder[0], name="gazelle"), FP32)
    check_encoder(encoder, texts=["w1 w2", "w3", "w4 w5 w6 w7"], tolerance=1e-5)


def test_the_fingerprint_is_of_the_file_that_runs(folder):
    at, table = folder
    before = TransformerEncoder(read_layout(at, name="gazelle"), FP32).space
    (at / "onnx" / "model.onnx").write_bytes(onnx_file(table + 1))
    save_file({"words": table + 1}, at / "model.safetensors")
    assert TransformerEncoder(read_layout(at, name="gazelle"), FP32).space != before


def test_other_inputs_and_outputs_are_refused(folder):
    at, table = folder
    for made, told in (
        (onnx_file(table, extra=("pixel_values",)), "pixel_values"),
        (b"no model", "cannot be read as ONNX"),
    ):
        (at / "onnx" / "model.onnx").write_bytes(made)
        encoder = TransformerEncoder(read_layout(at, name="gazelle"), FP32)
        with pytest.raises(ModelUnsupported, match=told) as refused:
            encoder.encode(["w1"], role="query")
        assert "gnomon export-onnx" in refused.value.hint


def test_any_three_dimensional_first_output_is_the_hidden_state(folder):
    at, table = folder
    (at / "onnx" / "model.onnx").write_bytes(onnx_file(table, output="something"))
    encoder = TransformerEncoder(read_layout(at, name="gazelle"), FP32)
    np.testing.assert_allclose(encoder.tokens(["w1"])[0].vectors, table[[5]] * 3, rtol=1e-5)


def test_without_graph_and_onnx_the_families_are_named(tiny_layout):
    layout = tiny_layout("bert", config={"model_type": "gazelle"})
    with pytest.raises(ModelUnsupported) as refused:
        TransformerEncoder(layout)
    assert "'gazelle'" in refused.value.message
    assert ", ".join(sorted(FAMILIES)) in refused.value.expected
    assert "gnomon export-onnx" in refused.value.hint
    assert json.loads((layout.folder / "config.json").read_text())["model_type"] == "gazelle"


def test_position_ids_are_the_places(folder):
    at, table = folder
    (at / "onnx" / "model.onnx").write_bytes(onnx_file(table, shift="position_ids"))
    found = TransformerEncoder(read_layout(at, name="gazelle"), FP32).tokens(["w1", "w2 w3 w4"])
    np.testing.assert_allclose(found[0].vectors, table[[5]] * 3 + 1, rtol=1e-5)
    np.testing.assert_allclose(found[1].vectors, table[[6, 7, 8]] * 5 + [[1], [2], [3]], rtol=1e-5)


@pytest.mark.parametrize("name", ["model.onnx.data", "model.onnx_data", "weights.bin"])
def test_weights_in_a_second_file_are_read_and_in_the_fingerprint(folder, name):
    at, table = folder
    inside = TransformerEncoder(read_layout(at, name="gazelle"), FP32)
    (at / "onnx" / "model.onnx").write_bytes(onnx_file(table, location=name))
    with pytest.raises(ModelUnsupported, match=f"keeps weights in {name}"):
        _ = TransformerEncoder(read_layout(at, name="gazelle"), FP32).space
    (at / "onnx" / name).write_bytes(table.tobytes())
    outside = TransformerEncoder(read_layout(at, name="gazelle"), FP32)
    texts = ["w1", "w2 w3 w4"]
    assert np.array_equal(outside.encode(texts, role="query").data, inside.encode(texts, role="query").data)
    (at / "onnx" / name).write_bytes((table * 2).tobytes())
    assert TransformerEncoder(read_layout(at, name="gazelle"), FP32).space != outside.space


def test_a_second_file_outside_the_folder_is_refused(folder):
    at, table = folder
    (at / "onnx" / "model.onnx").write_bytes(onnx_file(table, location="../model.safetensors"))
    with pytest.raises(ModelUnsupported, match="outside itself"):
        _ = TransformerEncoder(read_layout(at, name="gazelle"), FP32).space


@pytest.mark.parametrize("trained", [lambda t: t * 1.3 + 0.01, lambda t: t + 1e-4], ids=["far", "a step"])
def test_an_onnx_file_of_other_weights_than_those_beside_it_is_refused(folder, trained):
    at, table = folder
    save_file({"words": trained(table)}, at / "model.safetensors")
    with pytest.raises(ModelUnsupported, match="exported from other weights") as refused:
        TransformerEncoder(read_layout(at, name="gazelle"), FP32).encode(["w1"], role="query")
    assert refused.value.hint.startswith(f"gnomon export-onnx {at}")


def test_heads_and_half_precision_are_no_other_weights(folder):
    at, table = folder
    head = np.ones((16, 16), np.float32)
    save_file({"pooler": head, "words.turned": table.T.copy()}, at / "model.safetensors")
    TransformerEncoder(read_layout(at, name="gazelle"), FP32).encode(["w1"], role="query")


def test_a_config_that_the_networks_do_not_do_runs_from_onnx(folder):
    at, table = folder
    config = json.loads((at / "config.json").read_text())
    (at / "config.json").write_text(json.dumps(config | {"model_type": "bert", "position_embedding_type": "relative"}))
    found = TransformerEncoder(read_layout(at, name="bert"), FP32).tokens(["w1"])
    np.testing.assert_allclose(found[0].vectors, table[[5]] * 3, rtol=1e-5)
    (at / "onnx" / "model.onnx").unlink()
    with pytest.raises(ModelUnsupported, match="position_embedding_type") as refused:
        TransformerEncoder(read_layout(at, name="bert"), FP32)
    assert "gnomon export-onnx" in refused.value.hint


def test_a_family_that_ran_from_onnx_in_0_1_still_does_where_the_file_is(folder):
    at, _ = folder
    config = json.loads((at / "config.json").read_text())
    (at / "config.json").write_text(json.dumps({**config, "model_type": "electra"}))
    layout = read_layout(at, name="was onnx")
    if layout.weights.suffix != ".onnx":  # beside safetensors, as the hub has it
        (at / "model.safetensors").unlink()
    save_file({"embeddings.word_embeddings.weight": np.zeros((4, 4), np.float32)}, at / "model.safetensors")
    encoder = TransformerEncoder(read_layout(at, name="was onnx"), FP32)
    assert encoder._layout.weights.suffix == ".onnx"
    assert encoder._layout.exported_from == at / "model.safetensors"
    int8 = TransformerEncoder(read_layout(at, name="was onnx"), EncoderSettings(precision="int8"))
    assert int8._layout.weights.suffix == ".safetensors"
