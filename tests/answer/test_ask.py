"""Questions to answers: what is found and said, what fails, and that the passages are there all the same."""

import json
import threading
import time
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gnomon
from gnomon.answer import (
    AnswerDone,
    AskSettings,
    ContextSettings,
    Endpoint,
    PassagesFound,
    SentenceVerified,
    TextDelta,
    ask,
    extractive,
    stream,
)
from gnomon.answer.prompt import REFUSAL
from gnomon.answer.tables import register, unregister
from gnomon.answer.verification.verifier import MIN_SUPPORT
from gnomon.core.errors import InvalidInput
from gnomon.testing.toys import HashEncoder
from support.endpoint_server import (
    cut,
    fails,
    fails_in_stream,
    free_port,
    hangs_up,
    replies,
    rubbish,
    rubbish_stream,
    says,
    says_whole,
    stalls,
    too_long,
)

DOCUMENTS = {
    "keys": "Keys live for 90 days. A key that is older is refused by the server. To rotate a key, make a "
    "new one first. Then revoke the one before.",
    "sundial": "The gnomon casts the shadow that tells the hour. The plate of a sundial is set level. It was "
    "used in Egypt around 1500 BC.",
    "bread": "Mix 500 g of flour with water and salt. Let the dough rise for 2 hours. Bake the bread for 40 "
    "minutes in a hot oven.",
    "whale": "The blue whale is the largest animal that has ever lived. It weighs up to 190 tonnes. It eats "
    "krill in polar waters.",
    "glacier": "A glacier is ice that flows under its own weight. It moves about 30 cm a day. Its melting "
    "raises the sea.",
}
QUESTION = "How long do keys live?"
TRUE = "Keys live for 90 days."
EVER = AskSettings(abstain_below=0)  # the toy encoder's confidences mean little


@pytest.fixture(scope="module")
def kb(tmp_path_factory):
    encoder = HashEncoder(128)
    with gnomon.open(tmp_path_factory.mktemp("ask") / "kb", encoder=encoder) as collection:
        collection.add({"id": name, "title": name, "text": text} for name, text in DOCUMENTS.items())
        yield collection


@pytest.fixture
def empty(tmp_path):
    with gnomon.open(tmp_path / "empty", encoder=HashEncoder(32)) as collection:
        yield collection


class Toy:
    """A language model that replies what it is told to, piece by piece."""

    name = "toy"

    def __init__(self, reply, size=5):
        self.reply, self.size, self.prompts, self.closed = reply, size, [], 0

    def stream(self, messages, *, max_tokens, temperature=0.0):
        self.prompts.append("\n".join(message.content for message in messages))
        try:
            for at in range(0, len(self.reply), self.size):
                yield self.reply[at : at + self.size]
        finally:
            self.closed += 1


def endpoint(server, **options):
    return Endpoint(server.url, "toy", **{"timeout_s": 5.0, "retries": 0, **options})


def true_to_the_documents(kb, answer, least=MIN_SUPPORT):
    """No sentence counts as supported without a citation that is the document's own text there."""
    for sentence in (*answer.sentences, *answer.dropped):
        assert sentence.supported == bool(sentence.citations)
        for citation in sentence.citations:
            assert citation.support >= least
            assert citation.quote
            assert kb.text(citation.document)[citation.start : citation.end] == citation.quote
            passage = answer.passages[citation.passage - 1]
            assert (passage.number, passage.document) == (citation.passage, citation.document)
            assert passage.start <= citation.start < citation.end <= passage.end
    for sentence in answer.sentences:
        assert answer.text[sentence.start : sentence.end] == sentence.text
    return True


def test_without_a_language_model_sentences_are_quoted(kb):
    events = list(stream(kb, QUESTION, settings=EVER))
    found, *checked, done = events
    assert isinstance(found, PassagesFound)
    assert isinstance(done, AnswerDone)
    assert all(isinstance(event, SentenceVerified) for event in checked)
    answer = done.answer
    assert tuple(event.sentence for event in checked) == answer.sentences
    assert found.passages == answer.passages
    assert (answer.outcome, answer.kind, answer.model) == ("answered", "extractive", None)
    assert TRUE in answer.text
    assert answer.passages[0].document == "keys"
    assert answer.queries == (QUESTION,) == (answer.standalone,)
    assert answer.threshold == 0
    assert answer.seconds["total"] >= answer.seconds["searching"] > 0
    assert ask(kb, QUESTION, settings=EVER).text == answer.text
    assert json.loads(json.dumps(answer.to_json()))["sentences"][0]["citations"][0]["document"] == "keys"
    assert true_to_the_documents(kb, answer)


def test_every_quote_is_what_it_cites(kb):
    for name, text in DOCUMENTS.items():
        for sentences in (1, 3):
            wanted = AskSettings(abstain_below=0, sentences=sentences)
            answer = ask(kb, f"What about the {name}?", settings=wanted)
            assert 1 <= len(answer.sentences) <= sentences
            assert true_to_the_documents(kb, answer)
            for sentence in answer.sentences:
                assert [citation.quote for citation in sentence.citations] == [sentence.text]
                assert sentence.text in DOCUMENTS[sentence.citations[0].document]
            assert any(one.text in text for one in answer.sentences)


def test_a_block_of_code_stands_on_lines_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(extractive, "MARGIN", 1e6)
    text = "Old keys are made new with\n\n```\nkey renew --all\n```\n\nOld keys made new live for a year."
    with gnomon.open(tmp_path / "kb", encoder=HashEncoder(dim=256)) as kb:
        kb.add([gnomon.Document(id="keys", text=text, media_type="text/markdown")])
        answer = ask(kb, "How are old keys made new?", settings=EVER)
        assert answer.text == text
        assert true_to_the_documents(kb, answer)


def test_a_generated_answer_is_streamed_and_verified(kb, server):
    server.script = [says(f"{TRUE} [1] They are made of cheese [1].")]
    with closing(endpoint(server)) as chat:
        events = list(stream(kb, QUESTION, chat=chat, settings=EVER))
    assert isinstance(events[0], PassagesFound)
    answer = events[-1].answer
    assert (
        "".join(event.text for event in events if isinstance(event, TextDelta))
        == f"{TRUE} [1] They are made of cheese [1]."
    )
    assert [event.sentence.supported for event in events if isinstance(event, SentenceVerified)] == [True, False]
    assert (answer.outcome, answer.kind, answer.model) == ("answered", "generated", "toy")
    assert answer.text == f"{TRUE} They are made of cheese."
    assert true_to_the_documents(kb, answer)
    assert "Keys live for 90 days." in server.requests[0].prompt
    assert QUESTION in server.requests[0].prompt


def test_below_the_threshold_no_model_is_asked(kb):
    chat = Toy(TRUE)
    found, done = stream(kb, QUESTION, chat=chat, settings=AskSettings(abstain_below=1.0))
    assert chat.prompts == []
    answer = done.answer
    assert answer.outcome == "not in these documents"
    assert (answer.text, answer.sentences) == ("", ())
    assert answer.passages == found.passages != ()
    assert answer.confidence < answer.threshold == 1.0


def test_between_the_thresholds_an_answer_is_possible(kb):
    answer = ask(kb, QUESTION, settings=AskSettings(abstain_below=0, answer_from=1.0))
    assert (answer.outcome, answer.threshold, answer.answer_threshold) == ("possible", 0, 1.0)
    assert answer.text == ask(kb, QUESTION, settings=EVER).text != ""
    assert answer.sentences
    assert ask(kb, QUESTION, settings=AskSettings(abstain_below=1.0)).outcome == "not in these documents"
    assert ask(kb, QUESTION, settings=AskSettings(answer_from=0)).outcome == "answered"


def test_what_a_language_model_writes_and_a_passage_supports_is_answered(kb):
    wanted = AskSettings(abstain_below=0, answer_from=1.0)
    assert ask(kb, QUESTION, chat=Toy(TRUE), settings=wanted).outcome == "answered"


def test_an_answer_is_not_given_plainly_below_the_confidence_of_a_possible_one():
    with pytest.raises(InvalidInput, match=r"answer_from = 0\.2, below abstain_below = 0\.5"):
        AskSettings(abstain_below=0.5, answer_from=0.2)


def test_the_models_refusal_is_an_outcome(kb):
    answer = ask(kb, QUESTION, chat=Toy(f"I am sorry. {REFUSAL}"), settings=EVER)
    assert (answer.outcome, answer.text, answer.sentences) == ("not in these documents", "", ())
    assert answer.passages
    assert answer.failures == ()


def test_a_reply_that_nothing_supports_is_no_answer(kb):
    reply = "The king of Spain is bald. He lives in a castle."
    marked = ask(kb, QUESTION, chat=Toy(reply), settings=EVER)
    assert (marked.outcome, marked.text) == ("not in these documents", reply)
    dropped = ask(kb, QUESTION, chat=Toy(reply), settings=AskSettings(abstain_below=0, unsupported="drop"))
    assert (dropped.outcome, dropped.text) == ("not in these documents", "")
    assert [one.text for one in dropped.dropped] == ["The king of Spain is bald.", "He lives in a castle."]


def test_an_empty_collection_has_no_answer(empty):
    for chat in (None, Toy(TRUE)):
        answer = ask(empty, QUESTION, chat=chat, settings=EVER)
        assert (answer.outcome, answer.passages, answer.confidence) == ("not in these documents", (), 0.0)
        assert answer.text == ""


def test_a_condition_that_nothing_meets_has_no_answer(kb):
    answer = ask(kb, QUESTION, settings=AskSettings(abstain_below=0, where="id = 'none'"))
    assert (answer.outcome, answer.passages) == ("not in these documents", ())


FAILURES = {
    "an error": (fails(500), "HTTP status 500"),
    "no key": (fails(401), "401"),
    "rubbish": (rubbish(), "text/html"),
    "rubbish in a stream": (rubbish_stream(), "no JSON"),
    "hangs up": (hangs_up(), "broke off"),
    "too long": (too_long(), "longer than toy"),
    "an error in the stream": (fails_in_stream(), "out of memory"),
    "nothing": (says(""), "wrote nothing"),
    "nothing but space": (says("  \n "), "wrote nothing"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_when_the_model_fails_the_passages_are_there_and_it_is_said_what_failed(kb, server, name):
    step, said = FAILURES[name]
    server.script = [step]
    with closing(endpoint(server)) as chat:
        events = list(stream(kb, QUESTION, chat=chat, settings=EVER))
    answer = events[-1].answer
    assert isinstance(events[0], PassagesFound)
    assert (answer.outcome, answer.text) == ("failed", "")
    assert answer.passages[0].document == "keys"
    (failure,) = answer.failures
    assert failure.stage == "generating"
    assert said in failure.message
    assert failure.hint


def test_when_nobody_listens_the_passages_are_there(kb):
    with closing(Endpoint(f"http://127.0.0.1:{free_port()}", "toy", retries=0)) as chat:
        answer = ask(kb, QUESTION, chat=chat, settings=EVER)
    assert answer.outcome == "failed"
    assert "no language model answers" in answer.failures[0].message
    assert answer.passages


@pytest.mark.parametrize(
    "step",
    [cut(f"{TRUE} [1] Then rev"), fails_in_stream(f"{TRUE} [1] Then rev"), stalls(f"{TRUE} [1] Then rev")],
)
def test_a_reply_that_breaks_off_keeps_what_was_verified(kb, server, step):
    server.script = [step]
    with closing(endpoint(server, timeout_s=1.0)) as chat:
        answer = ask(kb, QUESTION, chat=chat, settings=AskSettings(abstain_below=0, unsupported="drop"))
    assert (answer.outcome, answer.text) == ("failed", TRUE)
    assert answer.sentences[0].supported
    assert [one.text for one in answer.dropped] == ["Then rev"]
    assert [one.stage for one in answer.failures] == ["generating"]
    assert true_to_the_documents(kb, answer)


def test_a_reply_that_used_up_its_tokens_is_an_answer_as_far_as_it_is_supported(kb, server):
    server.script = [says(f"{TRUE} [1] Then revoke the", finish="length")]
    with closing(endpoint(server)) as chat:
        answer = ask(kb, QUESTION, chat=chat, settings=EVER)
        server.requests.clear()
        server.script = [says("Cheese is made of milk. Then", finish="length")]
        nothing = ask(kb, QUESTION, chat=chat, settings=EVER)
    assert answer.outcome == "answered"
    assert [one.supported for one in answer.sentences] == [True, False]
    assert [one.kind for one in answer.failures] == ["ReplyTooLong"]
    assert nothing.outcome == "failed"


def test_a_prompt_that_is_too_long_is_tried_with_fewer_passages(kb, server):
    server.script = [too_long(), too_long(), says(f"{TRUE} [1]")]
    with closing(endpoint(server)) as chat:
        answer = ask(kb, QUESTION, chat=chat, settings=EVER)
    assert (answer.outcome, answer.text) == ("answered", TRUE)
    shown = [asked.prompt.count("</passage-") - 1 for asked in server.requests]
    assert shown[0] == len(answer.passages) > shown[1] > shown[2] >= 1
    (failure,) = answer.failures
    assert failure.kind == "PromptTooLong"
    assert f"it was shown {shown[2]} of {shown[0]} passages" in failure.message


IGNORED = {
    "no markers": (TRUE, True),
    "JSON": (json.dumps({"answer": TRUE, "sources": [1]}), None),
    "another language": ("Schlüssel leben neunzig Tage lang.", False),
    "a list": (f"# Answer\n\n- {TRUE} [1]\n- [2] Cheese is made of milk.", True),
    "endless": ("Keys are keys are keys are keys " * 400, None),
    "wrong numbers": (f"{TRUE} [7] [99]", True),
    "rubbish": ("\x00\x1b[31m ￿ ]]] [[1]] ```", False),
}


@pytest.mark.parametrize("name", IGNORED)
def test_a_model_that_ignores_the_template(kb, server, name):
    reply, supported = IGNORED[name]
    server.script = [says_whole(reply)]
    with closing(endpoint(server)) as chat:
        answer = ask(kb, QUESTION, chat=chat, settings=EVER)
    assert answer.passages
    assert true_to_the_documents(kb, answer)
    if supported is not None:
        assert any(one.supported for one in answer.sentences) == supported
        assert answer.outcome == ("answered" if supported else "not in these documents")


def test_a_follow_up_is_made_whole_and_a_rewriting_that_fails_is_stood_in_for(kb, server):
    turns = [("What are keys?", "They open doors.")]
    server.script = [says("How long do keys live?"), says(f"{TRUE} [1]")]
    with closing(endpoint(server)) as chat:
        answer = ask(kb, "And how long do they live?", chat=chat, settings=EVER, history=turns)
    assert answer.standalone == QUESTION
    assert answer.question == "And how long do they live?"
    server.requests.clear()
    server.script = [fails(500), says(f"{TRUE} [1]")]
    with closing(endpoint(server)) as chat:
        answer = ask(kb, "And how long do they live?", chat=chat, settings=EVER, history=turns)
    assert (answer.outcome, answer.text) == ("answered", TRUE)
    assert [one.stage for one in answer.failures] == ["rewriting"]
    assert answer.standalone == "What are keys? And how long do they live?"


def test_an_expansion_that_fails_is_stood_in_for_by_the_question(kb, server):
    wanted = AskSettings(abstain_below=0, expand="hyde")
    server.script = [fails(500), says(f"{TRUE} [1]")]
    with closing(endpoint(server)) as chat:
        answer = ask(kb, QUESTION, chat=chat, settings=wanted)
    assert (answer.outcome, answer.queries) == ("answered", (QUESTION,))
    assert [one.stage for one in answer.failures] == ["expanding"]
    server.requests.clear()
    server.script = [says("Keys live for months."), says(f"{TRUE} [1]")]
    with closing(endpoint(server)) as chat:
        answer = ask(kb, QUESTION, chat=chat, settings=wanted)
    assert answer.queries == (QUESTION, "Keys live for months.")
    assert answer.failures == ()


def test_a_tables_rows_answer_and_a_query_that_fails_is_stood_in_for(kb, server, tmp_path):
    file = tmp_path / "suppliers.csv"
    file.write_text("name,city,year\nAcme,Berlin,2020\nBolt,Paris,2021\nCask,Berlin,2022\n")
    asked = "Which suppliers are in the city Berlin?"
    register(kb, file)
    try:
        answer = ask(kb, asked, settings=AskSettings(abstain_below=1.0))
        server.script = [fails(500), says("name: Acme; city: Berlin [6].")]
        with closing(endpoint(server)) as chat:
            generated = ask(kb, asked, chat=chat, settings=AskSettings(abstain_below=1.0))
        without = ask(kb, asked, settings=AskSettings(abstain_below=1.0, tables=False))
    finally:
        unregister(kb, "suppliers")
    assert answer.outcome == "answered"
    rows = [passage for passage in answer.passages if passage.row]
    assert [row.document for row in rows] == ["suppliers#1", "suppliers#3"]
    assert [passage.number for passage in answer.passages] == [*range(1, len(answer.passages) + 1)]
    assert answer.text == "\n".join(row.text for row in rows)
    for sentence, row in zip(answer.sentences, rows, strict=True):
        (citation,) = sentence.citations
        assert (citation.passage, citation.document) == (row.number, row.document)
        assert row.text[citation.start : citation.end] == citation.quote == sentence.text
    assert [one.stage for one in generated.failures] == ["tables"]
    assert [passage.document for passage in generated.passages if passage.row] == [
        "suppliers#1",
        "suppliers#3",
    ]
    assert generated.outcome == "answered"
    assert generated.sentences[0].citations[0].document == "suppliers#1"
    assert without.outcome == "not in these documents"


def test_what_cannot_be_asked_is_refused_before_anything_runs(kb, tmp_path):
    with pytest.raises(InvalidInput, match="empty question"):
        stream(kb, " \n")
    with pytest.raises(InvalidInput, match="without a language model"):
        stream(kb, QUESTION, settings=AskSettings(expand="hyde"))
    with pytest.raises(InvalidInput, match="turn of the conversation"):
        stream(kb, QUESTION, history=["only one"])
    with pytest.raises(InvalidInput, match="template"):
        stream(kb, QUESTION, settings=AskSettings(template=tmp_path / "none.txt"))


def test_closing_the_events_ends_the_models_request(kb, server):
    server.script = [stalls(f"{TRUE} [1] And then")]
    with closing(endpoint(server, timeout_s=15.0)) as chat:
        events = stream(kb, QUESTION, chat=chat, settings=EVER)
        while not isinstance(next(events), TextDelta):
            continue
        started = time.monotonic()
        events.close()
        assert server.disconnected.wait(5)
        assert time.monotonic() - started < 5
        with pytest.raises(StopIteration):
            next(events)
        server.script = [says(f"{TRUE} [1]")]
        server.requests.clear()
        assert ask(kb, QUESTION, chat=chat, settings=EVER).outcome == "answered"


def test_threads_ask_one_collection_at_once(kb, server):
    def reply(asked):
        return next(text.split(".")[0] + "." for name, text in DOCUMENTS.items() if f"the {name}?" in asked.prompt)

    server.script = [replies(reply)]
    answers = {}
    with closing(endpoint(server)) as chat:

        def one(name):
            answers[name] = ask(kb, f"What about the {name}?", chat=chat, settings=EVER)

        threads = [threading.Thread(target=one, args=(name,)) for name in DOCUMENTS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {name: answer.text for name, answer in answers.items()} == {
        name: text.split(".")[0] + "." for name, text in DOCUMENTS.items()
    }


SENTENCES = [sentence.strip() + "." for text in DOCUMENTS.values() for sentence in text.rstrip(".").split(". ")]
ALTERED = [
    "Keys live for 91 days.",
    "Bake the bread for 50 minutes in a hot oven.",
    "It weighs up to 19 tonnes.",
]
PARTS = st.one_of(
    st.sampled_from(SENTENCES),
    st.sampled_from(ALTERED),
    st.sampled_from([*"[]\n-.*`", "[1]", "[2][1]", "[99]", "- ", "1. ", "```\n", "{", '"answer": ', REFUSAL, "Dr. "]),
    st.text(max_size=12),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    reply=st.lists(PARTS, max_size=12).map(" ".join),
    size=st.integers(1, 30),
    unsupported=st.sampled_from(["mark", "drop"]),
)
def test_nothing_is_supported_without_a_verified_citation(kb, reply, size, unsupported):
    wanted = AskSettings(abstain_below=0, unsupported=unsupported, context=ContextSettings(passages=2))
    chat = Toy(reply, size)
    events = list(stream(kb, QUESTION, chat=chat, settings=wanted))
    answer = events[-1].answer
    assert true_to_the_documents(kb, answer)
    shown = [event.sentence for event in events if isinstance(event, SentenceVerified)]
    assert all(sentence.supported == bool(sentence.citations) for sentence in shown)
    assert not any(one.supported for one in answer.sentences if one.text in ALTERED)
    assert [sentence for sentence in answer.sentences if not sentence.supported] == [] or unsupported == "mark"
    if unsupported == "drop":
        assert not any(isinstance(event, TextDelta) for event in events)
        assert all(sentence.supported for sentence in shown)
    assert answer.passages
    assert chat.closed == 1


def test_old_names_of_the_events_still_work_and_warn():
    import gnomon.answer as package

    renamed = {
        "Found": "PassagesFound",
        "Piece": "TextDelta",
        "Checked": "SentenceVerified",
        "Done": "AnswerDone",
        "Event": "AnswerEvent",
    }
    for old, new in renamed.items():
        with pytest.warns(DeprecationWarning, match=new):
            assert getattr(package, old) is getattr(package, new)
