import json
import subprocess
import sys

import numpy as np
import pytest

from gnomon.cli.main import run
from gnomon.core.space import Space
from gnomon.encode import load_encoder

TEXTS = ["how do I rotate the keys?", "", "der Schlüssel"]


@pytest.fixture
def texts_file(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def encoder(minilm_folder):
    return load_encoder(minilm_folder)


def test_a_line_of_json_for_each_text(texts_file, minilm_folder, encoder, capsys):
    assert run(["encode", str(texts_file), "--model", str(minilm_folder)]) == 0
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["text"] for line in lines] == TEXTS
    wanted = encoder.encode(TEXTS, role="document").data
    np.testing.assert_allclose([line["vector"] for line in lines], wanted, atol=1e-6)
    assert err.startswith("3 vectors of ")


def test_an_array_with_its_space_beside_it(texts_file, minilm_folder, encoder, tmp_path, capsys):
    out = tmp_path / "vectors.npy"
    given = ["encode", str(texts_file), "--model", str(minilm_folder), "--out", str(out), "--json"]
    assert run([*given, "--role", "query"]) == 0
    array = np.load(out, allow_pickle=False)
    np.testing.assert_allclose(array, encoder.encode(TEXTS, role="query").data, atol=1e-6)
    assert array.dtype == np.float32
    sidecar = json.loads((tmp_path / "vectors.json").read_text())
    assert Space.from_json(sidecar["space"]) == encoder.space
    assert (sidecar["role"], sidecar["texts"], sidecar["truncated"]) == ("query", 3, 0)
    said = json.loads(capsys.readouterr().out)
    assert said == {**sidecar, "out": str(out), "rows": 3, "warnings": []}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["texts.txt", "vectors.json", "vectors.npy"]


def test_text_that_is_too_long_is_counted_and_said(minilm_folder, tmp_path, capsys):
    path, out = tmp_path / "long.txt", tmp_path / "long.npy"
    path.write_text("word " * 400 + "\nshort\n")
    assert run(["encode", str(path), "--model", str(minilm_folder), "--out", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["truncated"] == 1
    assert "1 of 2 texts are longer than the 256 tokens" in said["warnings"][0]


def test_standard_input(minilm_folder):
    code = "import sys; from gnomon.cli.main import run; sys.exit(run(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "encode", "-", "--model", str(minilm_folder)]
    done = subprocess.run(command, input=b"one\r\ntwo", capture_output=True, check=True)
    assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == ["one", "two"]


@pytest.mark.parametrize(
    ("content", "came"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "holds no text"),
        (b"fine\n\xff\xfe\n", "line 2 of "),
    ],
)
def test_files_without_texts(tmp_path, capsys, content, came):
    path = tmp_path / "texts.txt"
    if content is not None:
        path.write_bytes(content)
    assert run(["encode", str(path), "--model", "all-MiniLM-L6-v2"]) == 2
    assert came in capsys.readouterr().err


def test_an_output_that_is_no_array_is_refused(texts_file, capsys):
    assert run(["encode", str(texts_file), "--model", "all-MiniLM-L6-v2", "--out", "vectors.csv"]) == 2
    assert "expected  a name that ends with .npy" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written(texts_file, minilm_folder, tmp_path, capsys):
    out = tmp_path / "nowhere" / "v.npy"
    assert run(["encode", str(texts_file), "--model", str(minilm_folder), "--out", str(out)]) == 3
    assert "No such file or directory" in capsys.readouterr().err


def test_a_model_that_does_not_exist(texts_file, capsys):
    assert run(["encode", str(texts_file), "--model", "no-such-model", "--json"]) == 3
    assert json.loads(capsys.readouterr().err)["error"]["kind"] == "ModelNotFound"
