"""gnomon words, as typed."""

import json

import numpy as np
import pytest

import gnomon
from gnomon.cli.main import run
from gnomon.collection.settings import CollectionSettings
from gnomon.word_vectors import WordVectors, load_vectors, load_words, save_words

# A collection tries texts of its own on a model, which must have a known word each: the last four.
WORDS = ("king", "queen", "man", "woman", "paris", "return", "km", "read", "the")
# Directions: royal, male, female, city; the rest says nothing.
ROWS = np.array(
    [[1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]] + [[0.1, 0.1, 0.1, 1]] * 4,
    dtype=np.float32,
)


@pytest.fixture
def folder(tmp_path):
    return str(save_words(WordVectors.of(WORDS, ROWS, name="royal", lowercase=True), tmp_path / "royal"))


def test_neighbours_best_first(folder, capsys):
    assert run(["words", "neighbours", folder, "King", "-k", "2"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["0.707", "man"],
        ["0.500", "queen"],
    ]


def test_analogies_as_json(folder, capsys):
    assert run(["words", "analogy", folder, "man", "king", "woman", "-k", "1", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["analogy"] == ["man", "king", "woman"]
    assert [found["word"] for found in said["neighbours"]] == ["queen"]
    assert said["composed"] == []
    assert said["space"]["name"] == "royal"


def test_an_unknown_word_names_those_spelled_alike(folder, capsys):
    assert run(["words", "neighbours", folder, "quean"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "error     the word 'quean' is not among the 9 words of royal" in err
    assert "expected  a word of the vocabulary, such as queen" in err


def test_train_then_look_up_then_index(tmp_path, capsys):
    text = "the gnomon, km, read, return: the sundial casts a shadow on the stone at noon\n\n" * 40
    (tmp_path / "text.txt").write_text(text)
    into = str(tmp_path / "vectors")
    given = ["words", "train", str(tmp_path / "text.txt"), "--into", into, "--dim", "8", "--epochs", "1"]
    assert run([*given, "--method", "fasttext", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["words"], said["settings"]["method"], said["settings"]["window"]) == (13, "fasttext", 5)
    assert run([*given, "--method", "fasttext"]) == 0
    assert "fasttext, 1 epoch, 8 dimensions" in capsys.readouterr().out
    assert run(["words", "neighbours", into, "sundials", "-k", "1"]) == 0
    assert "'sundials' never came in training: its vector is made of its n-grams" in capsys.readouterr().err
    assert run([*given, "--min-count", "99"]) == 2
    assert "give more text, or a lower min_count" in capsys.readouterr().err
    assert len(load_words(into)) == 13  # a run that fails leaves what was there
    assert run(["index", str(tmp_path / "text.txt"), "--into", str(tmp_path / "kb"), "--model", into]) == 0


def test_a_collection_gives_its_words_under_its_model(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GNOMON_CACHE", str(tmp_path / "cache"))
    kb = tmp_path / "kb"
    with gnomon.open(kb, settings=CollectionSettings(model=folder)) as opened:
        opened.add(["The queen and the woman.", "A king in Paris, a man."])
    for _ in range(2):  # the second time from the cache
        assert run(["words", "neighbours", str(kb), "queen", "-k", "1"]) == 0
        assert capsys.readouterr().out.split() == ["0.707", "woman"]
    given = ["words", "train", str(kb), "--into", str(tmp_path / "own"), "--method", "glove", "--dim", "3"]
    assert run([*given, "--min-count", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] == 11
    assert [path.suffix for path in (tmp_path / "cache" / "words").iterdir()] == [".npy"]
    assert run(["words", "neighbours", str(kb), "km"]) == 2  # the model knows it, the documents do not
    assert "'km' is not among the 6 words of royal" in capsys.readouterr().err


def test_files_of_other_tools_in_and_out(folder, tmp_path, capsys):
    file, again = str(tmp_path / "royal.bin"), str(tmp_path / "again")
    assert run(["words", "convert", folder, file, "--format", "word2vec-binary"]) == 0
    np.testing.assert_array_equal(load_vectors(file).vectors.data, ROWS)
    assert run(["words", "neighbours", file, "king", "-k", "1"]) == 0
    capsys.readouterr()
    assert run(["words", "convert", file, again, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"written": again, "words": 9, "format": "folder"}
    assert gnomon.load_encoder(again).encode(["the king"], role="query").data.shape == (1, 4)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["train", "x.txt"], "Missing option '--into'"),
        (["train", "x.txt", "--into", "v", "-k", "3"], "No such option: -k"),
        (["neighbours", "{folder}", "king", "--dim", "3"], "No such option: --dim"),
        (["neighbours", "{folder}", "king", "--format", "glove"], "No such option: --format"),
        (["neighbours", "{folder}"], "Missing argument 'WORD'"),
        (["analogy", "{folder}", "a", "b"], "Missing argument 'C'"),
        (["neighbors", "{folder}", "king"], "No such command 'neighbors'. Did you mean 'neighbours'?"),
        (["neighbours", "nowhere", "king"], "nowhere is no words folder, no file and no collection"),
        (["train", "nowhere.txt", "--into", "v"], "no such file or folder: nowhere.txt"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_next_step(given, told, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["words", *(part.format(folder=folder) for part in given)]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert f"error {told}" in error
    assert " expected " in error
    assert " hint " in error
