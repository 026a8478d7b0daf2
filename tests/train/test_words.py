"""Word vectors: the corpus, what a word is, lookups, and the folder that is served as a static model."""

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from gnomon.core.errors import InvalidInput, UnknownText, UnreadableFile, WeightsMismatch
from gnomon.core.unknown_text import are_unknown
from gnomon.encode import EncoderSettings, load_encoder
from gnomon.testing.encoder import check_encoder
from gnomon.word_vectors import WordVectors, corpus_of, load_words, read_corpus, save_words
from gnomon.word_vectors import corpus as corpora
from gnomon.word_vectors.corpus import tokenizer_json, words_of
from gnomon.word_vectors.folder import sif_weights
from gnomon.word_vectors.settings import SubwordSettings, settings_for
from gnomon.word_vectors.vectors import Subwords, buckets_of, n_grams

RNG = np.random.default_rng(11)
NAMES = ("sundial", "shadow", "noon", "gnomon", "stone")
ROWS = RNG.standard_normal((5, 6)).astype(np.float32)
COUNTS = np.array([50, 30, 10, 6, 4])


@pytest.fixture
def vectors():
    return WordVectors.of(NAMES, ROWS, name="dial", counts=COUNTS, lowercase=True)


def served_words(text, *, lowercase):
    known = list(dict.fromkeys(words_of(text, lowercase=lowercase)))
    tokenizer = Tokenizer.from_str(tokenizer_json(known, lowercase=lowercase))
    return tokenizer.encode(text, add_special_tokens=False).tokens


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60), st.booleans())
def test_training_and_serving_see_the_same_words(text, lowercase):
    text = text.encode("utf-8", "ignore").decode()
    assert served_words(text, lowercase=lowercase) == words_of(text, lowercase=lowercase)


def test_training_and_serving_agree_on_every_character():
    every = " ".join(f"a{chr(code)}b" for code in range(0x3100) if not 0xD800 <= code < 0xE000)
    assert served_words(every, lowercase=True) == words_of(every, lowercase=True)
    assert words_of("L’été, New_York’s ½ 日本語。ΟΔΟΣ", lowercase=True) == [
        *("l", "été", "new_york", "s", "日本語", "οδοσ")
    ]


def test_a_word_written_like_the_unknown_token_stays_a_word():
    tokenizer = Tokenizer.from_str(tokenizer_json(["[UNK]", "sun"], lowercase=False))
    assert tokenizer.token_to_id("[UNK]") == 1
    assert tokenizer.encode("moon").tokens == ["[[UNK]]"]


def test_a_corpus_counts_and_leaves_out_what_is_rare():
    made = corpus_of(["The cat saw the dog", "a dog", "cat", "rare"], min_count=2)
    assert made.words == ("cat", "dog", "the")
    assert made.counts.tolist() == [2, 2, 2]
    assert [passage.tolist() for passage in made.passages()] == [[2, 0, 2, 1], [1], [0]]


def test_a_corpus_of_nothing_is_refused():
    with pytest.raises(InvalidInput, match="3 words, 0 of them seen 5 times or more") as raised:
        corpus_of(["one two three"])
    assert raised.value.hint == "give more text, or a lower min_count"
    with pytest.raises(InvalidInput, match="one string"):
        corpus_of("one two")
    with pytest.raises(InvalidInput, match="0 words"):
        corpus_of([])


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_files_read_in_blocks_give_the_words_of_the_whole(size, tmp_path, monkeypatch):
    monkeypatch.setattr(corpora, "_BLOCK_CHARACTERS", size)
    text = "one two three.\n\nFour five\nsix seven\n\n" * 9
    (tmp_path / "plain.txt").write_text(text)
    (tmp_path / "packed.gz").write_bytes(gzip.compress(text.encode()))
    whole = corpus_of(text.split("\n\n"), min_count=1)
    for name in ("plain.txt", "packed.gz"):
        read = read_corpus([tmp_path / name], min_count=1)
        # A block smaller than a word must cut it; the smallest real one is a million characters.
        if size >= 7:
            assert read.words == whole.words
            np.testing.assert_array_equal(read.tokens, whole.tokens)


def test_folders_are_read_with_their_readers(tmp_path):
    (tmp_path / "page.md").write_text("# Title\n\nThe *sundial* stands.\n")
    (tmp_path / "notes.txt").write_text("The sundial stands.\n")
    made = read_corpus([tmp_path], min_count=2)
    assert made.words == ("stands", "sundial", "the")


def test_files_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "bad.txt").write_bytes(b"caf\xe9 \xff\xfe" * 10)
    with pytest.raises(UnreadableFile, match=r"bad.txt cannot be read after 0 million characters"):
        read_corpus([tmp_path / "bad.txt"])
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(UnreadableFile, match=r"no reader for \.png files"):
        read_corpus([tmp_path / "photo.png"])
    with pytest.raises(InvalidInput, match="no such file or folder"):
        read_corpus([tmp_path / "nothing"])


def test_neighbours_are_those_of_a_loop(vectors):
    def cosine(a, b):
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    wanted = sorted(((cosine(ROWS[0], ROWS[at]), NAMES[at]) for at in range(1, 5)), reverse=True)
    found = vectors.nearest("Sundial", k=3)
    assert [word for word, _ in found] == [word for _, word in wanted[:3]]
    np.testing.assert_allclose([score for _, score in found], [score for score, _ in wanted[:3]], atol=1e-6)
    assert vectors.similarity("noon", "stone") == pytest.approx(cosine(ROWS[2], ROWS[4]), abs=1e-6)
    unit = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)
    aim = unit[1] - unit[0] + unit[2]
    best = max((cosine(aim, ROWS[at]), NAMES[at]) for at in (3, 4))
    assert vectors.analogy("sundial", "shadow", "noon", k=1) == [(best[1], pytest.approx(best[0], abs=1e-6))]


def test_an_unknown_word_is_refused_with_words_spelled_alike(vectors):
    with pytest.raises(InvalidInput) as raised:
        vectors.nearest("sundail")
    assert raised.value.message == "the word 'sundail' is not among the 5 words of dial"
    assert raised.value.expected == "a word of the vocabulary, such as sundial"
    with pytest.raises(InvalidInput, match="k is 0"):
        vectors.nearest("noon", k=0)


def test_the_space_is_that_of_the_content(vectors):
    same = WordVectors.of(NAMES, ROWS.copy(), name="another name")
    assert same.space == vectors.space
    for words, rows in ((NAMES, ROWS + 1e-6), (NAMES[::-1], ROWS)):
        assert WordVectors.of(words, rows, name="dial").space != vectors.space


@pytest.mark.parametrize(
    ("words", "told"), [(("a", "a"), "2 words, 1 of them different"), (("a",), "1 words with 2 vectors")]
)
def test_words_and_rows_must_fit(words, told):
    with pytest.raises(InvalidInput, match=told):
        WordVectors.of(words, ROWS[:2], name="bad")


def test_buckets_are_those_of_fasttext():
    # The hash of "<nä" in gensim 4.4 and in fastText: 2801956096.
    assert buckets_of("nä", SubwordSettings(3, 3, 2**31 - 1))[0] == 2801956096 % (2**31 - 1)
    assert n_grams("a", 1, 3) == ["<a", "<a>", "a", "a>"]


def test_unknown_words_are_the_mean_of_their_n_grams():
    grams = SubwordSettings(3, 4, 1000)
    touched = np.unique(buckets_of("sundial", grams))
    rows = RNG.standard_normal((len(touched), 6)).astype(np.float32)
    made = WordVectors.of(NAMES, ROWS, name="dial", subwords=Subwords(grams, touched, rows))
    table = dict(zip(touched.tolist(), rows, strict=True))
    buckets = buckets_of("sundials", grams)
    wanted = sum(table.get(bucket, np.zeros(6)) for bucket in buckets) / len(buckets)
    np.testing.assert_allclose(made.vector("sundials"), wanted, atol=1e-6)
    assert made.is_composed("sundials")
    assert not made.is_composed("sundial")
    with pytest.raises(InvalidInput, match="'qqq' is not among"):
        made.vector("qqq")


def test_a_words_folder_comes_back_as_it_was(vectors, tmp_path):
    grams = Subwords(SubwordSettings(2, 3, 100), np.array([3, 7]), ROWS[:2])
    whole = WordVectors.of(NAMES, ROWS, name="dial", counts=COUNTS, subwords=grams, lowercase=True)
    folder = save_words(whole, tmp_path / "dial", settings={"epochs": 2})
    back = load_words(folder)
    assert (back.words, back.space, back.lowercase) == (NAMES, whole.space, True)
    np.testing.assert_array_equal(back.counts, COUNTS)
    np.testing.assert_array_equal(back.vector("moonshadow"), whole.vector("moonshadow"))
    assert load_words(save_words(vectors, folder)).subwords is None  # replaced as a whole


def test_the_folder_is_served_as_the_weighted_mean_of_known_words(vectors, tmp_path):
    encoder = load_encoder(save_words(vectors, tmp_path / "dial"), settings=EncoderSettings(threads=1))
    weights = sif_weights(COUNTS, 1e-3)
    wanted = ROWS[0] * weights[0] + 2 * ROWS[2] * weights[2]
    found = encoder.encode(["The Sundial's noon; NOON!"], role="document").data[0]
    np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted), atol=1e-6)
    plain = load_encoder(save_words(vectors, tmp_path / "plain", sif=None))
    np.testing.assert_allclose(
        plain.encode(["noon stone"], role="query").data[0],
        (ROWS[2] + ROWS[4]) / np.linalg.norm(ROWS[2] + ROWS[4]),
        atol=1e-6,
    )
    assert encoder.space != plain.space
    with pytest.warns(UnknownText, match="1 of 2 texts have no token"):
        assert are_unknown(encoder.encode(["moon", "noon"], role="document").data).tolist() == [True, False]


def test_the_served_model_keeps_every_promise(vectors, tmp_path):
    encoder = load_encoder(save_words(vectors, tmp_path / "dial"), settings=EncoderSettings(threads=1))
    check_encoder(encoder, texts=["sundial shadow", "noon", "gnomon stone shadow"])


def test_serving_needs_neither_gensim_nor_torch(vectors, tmp_path):
    folder = save_words(vectors, tmp_path / "dial")
    script = (
        "import sys, gnomon; from gnomon.train.words import load_words\n"
        f"gnomon.load_encoder({str(folder)!r}).encode(['noon'], role='query')\n"
        f"load_words({str(folder)!r}).nearest('noon')\n"
        "sys.exit(bool({'gensim', 'torch', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_other_folders_are_left_alone(vectors, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(InvalidInput, match="is there and holds no word vectors"):
        save_words(vectors, tmp_path / "mine")
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "letter.txt"]
    with pytest.raises(InvalidInput, match=r"gnomon words train TEXT --into"):
        load_words(tmp_path / "mine")


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "words.json"])
def test_damage_is_seen(file, vectors, tmp_path):
    folder = save_words(vectors, tmp_path / "dial")
    whole = (folder / file).read_bytes()
    (folder / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsMismatch, match="cannot be used"):
        load_words(folder)
    (folder / file).write_bytes(whole)
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1 - 4 * 6] ^= 1  # within the rows
    Path(folder / "model.safetensors").write_bytes(weights)
    with pytest.raises(WeightsMismatch, match="their digest is not the one that was written"):
        load_words(folder)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"dim": 0}, "dim = 0"),
        ({"sample": 1.5}, "sample = 1.5"),
        ({"negative": 0}, "negative = 0"),
        ({"learning_rate": 0.0}, "learning_rate = 0.0"),
        ({"seed": -1}, "seed = -1"),
        ({"epoch": 3}, "the setting 'epoch'"),
    ],
)
def test_settings_out_of_range_are_refused(changes, told):
    with pytest.raises(InvalidInput, match=told):
        settings_for("word2vec", **changes)
    with pytest.raises(InvalidInput, match="method 'lsa'"):
        settings_for("lsa")
