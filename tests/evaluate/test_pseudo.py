import json
import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gnomon.evaluate
from gnomon.core.errors import InvalidInput
from gnomon.evaluate.judgments import DataSet, check_dataset
from gnomon.evaluate.pseudo import (
    ALL_KINDS,
    KINDS,
    ChunkText,
    PseudoKind,
    SourceRecall,
    detect_breakage,
    pseudo_queries,
    recall_by_kind,
)
from gnomon.text.sentences import sentences

TOPICS = ("river", "engine", "orchard", "harbour", "violin", "glacier", "market", "comet")
BOILERPLATE = "Read the licence before you use this text anywhere."


def corpus(documents: int = 24) -> list[ChunkText]:
    """Documents of two chunks, three to a topic: each has its own heading, sentences and words."""
    chunks = []
    for number in range(documents):
        topic = TOPICS[number % len(TOPICS)]
        letter = "abcdefghijklmnopqrstuvwx"[number]
        for ordinal in range(2):
            words = [f"{topic}{letter}{name}" for name in ("an", "bor", "cal", "dim", "eft")]
            text = (
                f"The {topic} of tale {letter} opens part {ordinal} here. "
                f"It tells how {' and '.join(words)} came to place {number}x{ordinal} long ago. "
                f"{BOILERPLATE} And so part {ordinal} of tale {number} about it ends."
            )
            heading = (f"Book {number}", f"The {topic} number {number}")
            chunks.append(ChunkText(f"{number}-{ordinal}", f"doc{number}", text, ordinal, heading=heading))
    return chunks


def test_every_kind_is_made_and_points_to_its_source() -> None:
    chunks = corpus()
    made = pseudo_queries(chunks, per_kind=10)
    assert made.pseudo
    assert Counter(made.kinds.values()) == dict.fromkeys(KINDS, 10)
    assert made.queries.keys() == made.relevant.keys() == made.kinds.keys()
    assert check_dataset(made) == ()
    texts: dict[str, str] = {}
    for chunk in chunks:
        texts[chunk.document] = texts.get(chunk.document, "") + chunk.text + chunk.heading[-1]
    for query, text in made.queries.items():
        ((document, grade),) = made.relevant[query].items()
        assert grade == 1
        if made.kinds[query] == "keywords":
            assert all(word in texts[document] for word in text.split())
        else:
            assert text in texts[document]


def test_a_chunk_can_be_the_answer() -> None:
    chunks = corpus()
    made = pseudo_queries(chunks, kinds=("sampled sentence",), answer="chunk")
    by_id = {chunk.chunk_id: chunk.text for chunk in chunks}
    assert made.documents == by_id.keys()
    assert all(made.queries[query] in by_id[next(iter(made.relevant[query]))] for query in made.queries)


@given(st.integers(0, 3), st.integers(0, 100))
def test_order_does_not_matter_and_the_seed_does(seed: int, order: int) -> None:
    chunks = corpus(12)
    made = pseudo_queries(chunks, per_kind=4, seed=seed)
    random.Random(order).shuffle(chunks)
    assert pseudo_queries(chunks, per_kind=4, seed=seed) == made
    assert pseudo_queries(chunks, per_kind=4, seed=seed + 1) != made


def test_what_stands_in_several_answers_is_left_out() -> None:
    texts = pseudo_queries(corpus(), per_kind=1000).queries.values()
    assert BOILERPLATE not in texts
    same = [ChunkText(str(i), str(i), "Always the same opening line here.", title="Usage notes") for i in range(5)]
    with pytest.raises(InvalidInput, match="5 chunks without one heading, sentence or keyword"):
        pseudo_queries(same)


def test_a_heading_over_several_chunks_is_asked_once() -> None:
    chunks = [ChunkText(f"{i}", "doc", "x", ordinal=i, heading=("Setting up the oven",)) for i in (10, 2, 1, 0)]
    made = pseudo_queries(chunks, kinds=("heading",), answer="document")
    assert list(made.queries.values()) == ["Setting up the oven"]


def test_the_first_sentence_is_of_the_first_chunk_in_the_document() -> None:
    chunks = [
        ChunkText(str(i), "doc", f"Sentence {word} stands at the start. More.", ordinal=i)
        for i, word in ((10, "ten"), (2, "two"), (9, "nine"))
    ]
    made = pseudo_queries(chunks, kinds=("first sentence",))
    assert list(made.queries.values()) == ["Sentence two stands at the start."]


@pytest.mark.parametrize(
    ("text", "heading"),
    [
        ("1 2 3 4 5 6 7 8 9 10 11.", "Usage"),
        ("Short one.", "3.1"),
        ("| a | b | -- | == | :: | x | !! |", "== ++"),
        ("word " * 100, ""),
    ],
)
def test_what_nobody_would_ask_is_left_out(text: str, heading: str) -> None:
    chunks = [
        ChunkText("1", "a", text, title=heading),
        ChunkText("2", "b", "A whole sentence of seven words."),
    ]
    assert set(pseudo_queries(chunks).queries.values()) == {"A whole sentence of seven words."}


def test_keywords_are_the_words_of_highest_tf_idf() -> None:
    shared = "alpha beta gamma delta epsilon"
    texts = [f"{shared} {shared} unique{'abcd'[i]} filler filling" for i in range(2)]
    texts += [f"filler filling other{'abcdefghijklmnopqrstuvwxyz'[i]} stuff" for i in range(26)]
    chunks = [ChunkText(str(i), str(i), text) for i, text in enumerate(texts)]
    made = pseudo_queries(chunks, kinds=("keywords", "first sentence"), answer="document")
    # Both documents share their five best words, so neither is the only answer: such a query is left out.
    assert "keywords" not in made.kinds.values()
    chunks[1] = ChunkText("1", "1", "alpha beta gamma delta epsilon zeta zeta zeta alone alone alone")
    chunks[2] = ChunkText("2", "2", "zeta filler")
    made = pseudo_queries(chunks, kinds=("keywords",))
    asked = {next(iter(made.relevant[query])): text for query, text in made.queries.items()}
    assert asked == {"0": "alpha beta delta epsilon gamma", "1": "zeta alpha beta delta epsilon"}


def test_bad_arguments_say_what_is_wanted() -> None:
    chunks = corpus(2)
    with pytest.raises(InvalidInput, match=r"(?s)kinds \['titles'\].*some of heading, first sentence"):
        pseudo_queries(chunks, kinds=["titles"])  # type: ignore[list-item]
    with pytest.raises(InvalidInput, match="per_kind = 0"):
        pseudo_queries(chunks, per_kind=0)
    with pytest.raises(InvalidInput, match=r"(?s)answer 'page'.*document, chunk"):
        pseudo_queries(chunks, answer="page")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=r"(?s)no chunks.*index documents first"):
        pseudo_queries([])


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("It was 3.5 m. Then 4.", ["It was 3.5 m.", "Then 4."]),
        ("See Fig. 2 for J. Smith, e.g. here. Done.", ["See Fig. 2 for J. Smith, e.g. here.", "Done."]),
        ('He said "no." Then he left.', ['He said "no."', "Then he left."]),
        ("the shock forms . it then moves .", ["the shock forms .", "it then moves ."]),
        ("第一句。「第二句！」第三", ["第一句。", "「第二句！」", "第三"]),
        ("A heading\n\nA paragraph\nof two lines", ["A heading", "A paragraph of two lines"]),
        ("version 2.0.1 works... or not", ["version 2.0.1 works...", "or not"]),
        ("", []),
    ],
)
def test_sentences(text: str, parts: list[str]) -> None:
    assert sentences(text) == parts


@given(st.text(alphabet="ab .!?。\n\"'X1", max_size=60))
def test_sentences_lose_nothing_but_white_space(text: str) -> None:
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


def pseudo(kinds: dict[str, PseudoKind]) -> DataSet:
    return DataSet("p", dict.fromkeys(kinds, "x"), {q: {f"d-{q}": 1} for q in kinds}, pseudo=True, kinds=kinds)


def test_found_by_kind_counts_sources_among_the_first_ten() -> None:
    dataset = pseudo({"a": "heading", "b": "heading", "c": "keywords"})
    eleven = [f"other{i}" for i in range(10)]
    found = recall_by_kind(dataset, {"a": [*eleven[:9], "d-a"], "b": [*eleven, "d-b"]})
    assert {kind: (of.hits, of.queries) for kind, of in found.items()} == {
        "heading": (1, 2),
        "keywords": (0, 1),
    }
    assert found["heading"].missed_digests == found["heading"].query_digests[1:]
    assert SourceRecall.from_json(json.loads(json.dumps(found["heading"].to_json()))) == found["heading"]
    assert SourceRecall.from_json({"hits": 1, "queries": 2}) == SourceRecall(1, 2)
    with pytest.raises(InvalidInput, match="true judgments"):
        recall_by_kind(DataSet("real", {}, {}), {})


def test_breakage_alarms_where_a_share_fell_beyond_chance() -> None:
    sound = {"heading": SourceRecall(95, 100), "keywords": SourceRecall(80, 100)}
    assert detect_breakage(sound, sound) == ()
    assert detect_breakage({"heading": SourceRecall(92, 100), "keywords": SourceRecall(82, 100)}, sound) == ()
    first, second = detect_breakage({"heading": SourceRecall(70, 100), "keywords": SourceRecall(80, 100)}, sound)
    assert (first.kind, second.kind) == ("heading", ALL_KINDS)
    assert str(first).startswith("heading: the source is among the first 10 for 70.0% of 100 queries; it was for 95.0%")
    assert second.measured == SourceRecall(150, 200)
    assert first.to_json()["expected"] == 0.95
    # A rise is no breakage.
    assert detect_breakage({"heading": SourceRecall(100, 100)}, {"heading": SourceRecall(60, 100)}) == ()


def test_a_sound_collection_raises_an_alarm_in_at_most_one_look_of_a_hundred() -> None:
    random_state = np.random.default_rng(5)
    alarms = 0
    for _ in range(1000):
        now, then = random_state.binomial(100, 0.9, (2, 4))
        found = {kind: SourceRecall(int(hits), 100) for kind, hits in zip(KINDS, now, strict=True)}
        expected = {kind: SourceRecall(int(hits), 100) for kind, hits in zip(KINDS, then, strict=True)}
        alarms += bool(detect_breakage(found, expected))
    assert alarms <= 20


def looked(misses: Sequence[int], names: Sequence[int] = range(100)) -> SourceRecall:
    asked, missed = tuple(map(str, names)), tuple(map(str, misses))
    return SourceRecall(len(asked) - len(missed), len(asked), asked, missed)


def test_the_same_queries_are_compared_one_by_one() -> None:
    then = looked(range(10))
    assert detect_breakage({"heading": looked([*range(2, 10), 50, 51])}, {"heading": then}) == ()
    (alarm,) = detect_breakage({"heading": looked(range(1, 24))}, {"heading": then})
    assert (alarm.lost, alarm.gained) == (14, 1)
    # scipy.stats.binomtest(14, 15, alternative="greater"): 16 of 2 ** 15 orders
    assert alarm.p_value == pytest.approx(16 / 2**15)


def test_few_shared_queries_are_not_enough_to_pair() -> None:
    (alarm,) = detect_breakage({"heading": looked(range(40), range(60, 160))}, {"heading": looked([])})
    assert alarm.lost is None
    assert "of the same" not in str(alarm)


def test_most_queries_stay_when_documents_come() -> None:
    before = pseudo_queries(corpus(20), per_kind=10, kinds=("heading", "sampled sentence"))
    after = pseudo_queries(corpus(22), per_kind=10, kinds=("heading", "sampled sentence"))
    assert len(set(before.queries.values()) & set(after.queries.values())) >= 14


def test_breakage_is_fishers_exact_test() -> None:
    from scipy.stats import fisher_exact

    (alarm,) = detect_breakage({"heading": SourceRecall(70, 90)}, {"heading": SourceRecall(95, 100)})
    assert alarm.p_value == pytest.approx(fisher_exact([[70, 20], [95, 5]], alternative="less").pvalue)


def test_breakage_needs_a_kind_on_both_sides() -> None:
    with pytest.raises(InvalidInput, match="kinds heading against none"):
        detect_breakage({"heading": SourceRecall(1, 1)}, {})


def test_a_recall_that_an_earlier_version_saved_is_read() -> None:
    saved = {"hits": 1, "queries": 2, "asked": ["a1", "b2"], "missed": ["b2"]}
    recall = SourceRecall.from_json(saved)
    assert recall == SourceRecall(1, 2, query_digests=("a1", "b2"), missed_digests=("b2",))
    assert recall.to_json() == saved


def test_the_old_name_still_works_and_names_the_new_one() -> None:
    with pytest.warns(DeprecationWarning, match="recall_by_kind"):
        assert gnomon.evaluate.found_by_kind is recall_by_kind
