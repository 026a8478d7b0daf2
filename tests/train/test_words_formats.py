"""Word vectors in other tools' files: what gensim writes is read, what is written gensim reads."""

import gzip
import shlex

import numpy as np
import pytest
from gensim.models import KeyedVectors
from gensim.models.fasttext import load_facebook_vectors
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.core.errors import InvalidInput, SkippedRows, UnreadableFile
from gnomon.word_vectors import WordVectors, load_vectors, save_vectors, settings_for, train_words
from gnomon.word_vectors.formats import format_of
from gnomon.word_vectors.settings import SubwordSettings

FORMATS = ("word2vec", "word2vec-binary", "glove")
ROWS = np.random.default_rng(3).standard_normal((4, 5)).astype(np.float32)
WORDS = ("sun", "dial", "Schatten", "日")


@pytest.fixture
def vectors():
    return WordVectors.of(WORDS, ROWS, name="four")


@pytest.fixture(scope="module")
def fasttext():
    texts = ["the sundial casts a shadow on the stone", "a shadow moves over the sundial"] * 20
    small = SubwordSettings(shortest=2, longest=3, buckets=40)
    return train_words(texts, settings_for("fasttext", dim=6, min_count=1, epochs=1, subwords=small))


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_saved_comes_back_bit_for_bit(kind, vectors, tmp_path):
    path = save_vectors(vectors, tmp_path / "four.bin", format=kind)
    assert format_of(path) == kind
    back = load_vectors(path)
    assert back.words == WORDS
    np.testing.assert_array_equal(back.vectors.data, ROWS)
    assert back.space == vectors.space
    assert [file.name for file in tmp_path.iterdir()] == ["four.bin"]


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_numbers_and_words_survive_every_format(tmp_path_factory, data):
    word = st.text(st.characters(exclude_categories=("Z", "C")), min_size=1, max_size=5)
    words = data.draw(st.lists(word, min_size=1, max_size=6, unique=True))
    number = st.floats(width=32, allow_nan=False, allow_infinity=False)
    rows = data.draw(st.lists(st.lists(number, min_size=3, max_size=3), min_size=len(words), max_size=len(words)))
    made = WordVectors.of(words, np.array(rows, dtype=np.float32), name="any")
    for kind in FORMATS:
        path = save_vectors(made, tmp_path_factory.mktemp("any") / "any.txt", format=kind)
        back = load_vectors(path, format=kind)
        assert back.words == tuple(words)
        np.testing.assert_array_equal(back.vectors.data, made.vectors.data)


@pytest.mark.parametrize("binary", [False, True])
def test_gensim_reads_and_writes_the_same_files(binary, vectors, tmp_path):
    kind = "word2vec-binary" if binary else "word2vec"
    ours = save_vectors(vectors, tmp_path / "ours", format=kind)
    theirs = KeyedVectors.load_word2vec_format(str(ours), binary=binary)
    assert tuple(theirs.index_to_key) == WORDS
    np.testing.assert_array_equal(theirs.vectors, ROWS)
    theirs.save_word2vec_format(str(tmp_path / "theirs"), binary=binary)
    np.testing.assert_allclose(load_vectors(tmp_path / "theirs").vectors.data, ROWS, rtol=1e-6)


def test_gzipped_files_are_read(vectors, tmp_path):
    for kind in FORMATS:
        plain = save_vectors(vectors, tmp_path / "plain", format=kind)
        packed = tmp_path / f"{kind}.gz"
        packed.write_bytes(gzip.compress(plain.read_bytes()))
        assert load_vectors(packed).space == vectors.space


def test_glove_words_may_hold_spaces(tmp_path):
    # glove.840B has rows such as ". . . 0.1 0.2": what is not among the last numbers is the word.
    (tmp_path / "g.txt").write_text("the 0.1 0.2\n. . . 0.3 0.4\n")
    assert load_vectors(tmp_path / "g.txt").words == ("the", ". . .")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2 3\na 1 2 3\nb 1 2\n", "line 3: 'b 1 2', not a word and 3 numbers"),
        ("2 3\na 1 2 3\nb 1 x 3\n", "line 3: 'b 1 x 3', not a word and 3 numbers"),
        ("a 1 2 3\nb 1 nan 3\n", "line 2: 'b' with NaN or infinite numbers"),
        ("a 1 2\nb 3 4\na 5 6\n", "line 3: the word 'a' for the second time, first at line 1"),
        ("3 2\na 1 2\nb 3 4\n", "line 1: 3 words announced, 2 there"),
        ("a 1 2\n\nb 3 4\n", "line 2: '', not a word and 2 numbers"),
    ],
)
def test_a_bad_row_is_named_by_its_line(text, told, tmp_path):
    path = tmp_path / "bad.txt"
    path.write_text(text)
    with pytest.raises(InvalidInput) as raised:
        load_vectors(path, strict=True)
    assert raised.value.message == f"{path}, {told}"
    assert raised.value.expected == "each word once, with as many finite numbers as the others"
    assert "fetched again" in raised.value.hint


def test_a_binary_file_that_is_cut_off_names_the_row(vectors, tmp_path):
    path = save_vectors(vectors, tmp_path / "cut.bin", format="word2vec-binary")
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(InvalidInput, match=r"row 4 of 4: the file ends within it"):
        load_vectors(path, strict=True)
    with pytest.warns(SkippedRows, match=r"1 rows of .* row 4 of 4: the file ends within it"):
        assert load_vectors(path).words == WORDS[:3]


def test_a_file_that_is_not_utf_8_is_named_with_its_line(tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes(b"a 1 2\nb 3 4\n" + b"gr\xfcn 5 6\n")
    with pytest.raises(InvalidInput, match="line 3: a word that is not UTF-8"):
        load_vectors(path, strict=True)
    with pytest.warns(SkippedRows, match="line 3: a word that is not UTF-8"):
        assert load_vectors(path).words == ("a", "b")
    with pytest.raises(UnreadableFile, match="cannot be read at all"):
        load_vectors(tmp_path / "nothing.txt")


def test_fasttext_files_are_gensims_unknown_words_included(fasttext, tmp_path):
    path = save_vectors(fasttext, tmp_path / "sun.bin", format="fasttext")
    theirs = load_facebook_vectors(str(path))
    assert tuple(theirs.index_to_key) == fasttext.words
    np.testing.assert_allclose(theirs.vectors, fasttext.vectors.data, atol=1e-6)
    ours = load_vectors(path)
    assert ours.words == fasttext.words
    np.testing.assert_array_equal(ours.counts, fasttext.counts)
    for word in ("sundials", "shadowy", "xyz"):
        wanted = theirs.get_vector(word)
        assert np.abs(wanted).max() > 0
        np.testing.assert_allclose(ours.vector(word), wanted, atol=1e-6)
        np.testing.assert_allclose(fasttext.vector(word), wanted, atol=1e-6)


def test_what_fasttext_files_cannot_hold_is_refused(vectors, fasttext, tmp_path):
    with pytest.raises(InvalidInput, match="four has no n-grams") as raised:
        save_vectors(vectors, tmp_path / "four.bin", format="fasttext")
    assert raised.value.hint == 'write them as "word2vec" or "word2vec-binary"'
    whole = save_vectors(fasttext, tmp_path / "sun.bin", format="fasttext").read_bytes()
    (tmp_path / "cut.bin").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableFile, match="cannot be read as a fastText model"):
        load_vectors(tmp_path / "cut.bin")


def test_words_with_spaces_are_refused(tmp_path):
    spaced = WordVectors.of(["new york"], ROWS[:1], name="spaced")
    with pytest.raises(InvalidInput, match="1 words with spaces in them, such as 'new york'"):
        save_vectors(spaced, tmp_path / "spaced.txt", format="glove")


def test_odd_rows_are_left_out_counted_and_named(tmp_path):
    rows = ["king 1 2", "queen 3 4", "king 5 6", "man nan 8", "woman 9", "apple 1 1", ". . . 2 2", "\u00a0 3 3"]
    (tmp_path / "odd.txt").write_text("\n".join(["9 2", *rows]) + "\n", encoding="utf-8")
    with pytest.warns(SkippedRows) as warned:
        found = load_vectors(tmp_path / "odd.txt")
    assert found.words == ("king", "queen", "apple", ". . .", "\u00a0")
    said = str(warned[0].message)
    assert said.startswith("4 rows of")
    for part in (
        "line 4: the word 'king' for the second time",
        "line 5: 'man' with NaN",
        "line 6: 'woman 9'",
        "9 words",
    ):
        assert part in said


def test_odd_rows_of_a_binary_file(vectors, tmp_path):
    rows = np.array([[1, 2], [3, 4], [np.inf, 5], [6, 7]], dtype="<f4")
    body = b"".join(
        word + b" " + row.tobytes() + b"\n" for word, row in zip((b"a", b"\xff", b"c", b"d"), rows, strict=True)
    )
    (tmp_path / "odd.bin").write_bytes(b"4 2\n" + body)
    with pytest.warns(SkippedRows, match="row 2: a word that is not UTF-8.*row 3: 'c' with NaN or infinite"):
        assert load_vectors(tmp_path / "odd.bin").words == ("a", "d")


def test_a_file_of_mostly_odd_rows_is_another_format(tmp_path):
    (tmp_path / "prose.txt").write_text("one two 3\nThis is no file of vectors.\nNor is this.\n")
    with pytest.raises(InvalidInput, match="line 1"):
        load_vectors(tmp_path / "prose.txt")


def test_a_pickle_of_gensim_is_refused_with_a_command_that_converts_it(tmp_path):
    saved = KeyedVectors(ROWS.shape[1])
    saved.add_vectors(list(WORDS), ROWS)
    saved.save(str(tmp_path / "w.kv"))
    with pytest.raises(InvalidInput, match="is a Python pickle") as raised:
        load_vectors(tmp_path / "w.kv")
    command = shlex.split(raised.value.hint.partition(": ")[2])
    assert command[:2] == ["python", "-c"]
    exec(command[2])
    assert load_vectors(tmp_path / "w.vec").words == WORDS
