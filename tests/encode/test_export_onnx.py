"""gnomon export-onnx, run: the file that it writes gives the vectors of the safetensors."""

import importlib.util

import numpy as np
import pytest

from gnomon.cli.main import run
from gnomon.encode import load_encoder
from support import tiny_encoders

TEXTS = [tiny_encoders.SHORT, tiny_encoders.LONG, "w4", "w30 w1"]


@pytest.mark.slow
def test_the_exported_file_gives_the_vectors_of_the_safetensors(tmp_path, capsys):
    for library in ("torch", "transformers", "onnx", "onnxscript"):
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed")
    folder = tiny_encoders.write(tmp_path / "model", "bert")
    tiny_encoders.as_sentence_transformer(folder, "mean")
    expected = np.asarray(load_encoder(folder).encode(TEXTS, role="document"))
    assert run(["export-onnx", str(folder)]) == 0
    assert str(folder / "onnx" / "model.onnx") in capsys.readouterr().out
    (folder / "model.safetensors").unlink()  # so that the ONNX file is what runs
    found = np.asarray(load_encoder(folder).encode(TEXTS, role="document"))
    cosines = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosines.min() >= 0.9999
    assert not np.allclose(found[0], found[1], atol=1e-3)
