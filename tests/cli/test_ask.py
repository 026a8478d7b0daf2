import io
import json
import re
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from rich.console import Console
from rich.text import Text

import gnomon
from gnomon.answer.types import Answer, Citation, Failure, Passage, Sentence, SentenceVerified, TextDelta
from gnomon.cli.main import run
from gnomon.cli.rendering.results import NOT_SUPPORTED, LiveAnswer, print_answer, quoted_text
from gnomon.testing.toys import HashEncoder
from support.endpoint_server import cut, endpoint_server, fails, free_port, says, stalls

SCRIPT = "import sys; from gnomon.cli.main import run; sys.exit(run(sys.argv[1:]))"
FILES = {
    "keys.md": "# Keys\n\nKeys live for 90 days. To rotate a key, make a new one, then revoke the old one.\n",
    "sundial.md": "# Sundials\n\n## Parts\n\nThe gnomon casts the shadow that tells the hour of the day.\n",
    "bread.txt": "Mix flour, water and salt, let the dough rise, and bake it in a hot oven.\n",
}
QUESTION = "How long do keys live?"
TRUE = "Keys live for 90 days."


@pytest.fixture(scope="module")
def kb(tmp_path_factory, minilm_folder):
    folder = tmp_path_factory.mktemp("asked")
    (folder / "docs").mkdir()
    for name, text in FILES.items():
        (folder / "docs" / name).write_text(text, encoding="utf-8")
    given = ["index", str(folder / "docs"), "--into", str(folder / "kb"), "--model", str(minilm_folder)]
    assert run([*given, "--json"]) == 0
    return str(folder / "kb")


@pytest.fixture
def server(monkeypatch):
    with endpoint_server() as running:
        yield running
        assert not running.faults, running.faults[0]


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch):
    for name in ("GNOMON_LLM", "GNOMON_LLM_MODEL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def asked(kb, capsys):
    """Runs gnomon ask, always trying: exit code, stdout, stderr."""

    def ask(question, *arguments):
        capsys.readouterr()
        code = run(["ask", kb, question, "--abstain-below", "0", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return ask


def test_an_answer_is_quoted_with_its_passages(asked):
    code, out, err = asked(QUESTION, "--sentences", "1")
    assert (code, err) == (0, "")
    first, blank, *passages = out.splitlines()
    assert (first, blank) == (f"{TRUE} [1]", "")
    assert re.fullmatch(r"\[1]  Keys  \d\.\d{3}", passages[0])
    assert TRUE in passages[1]
    assert re.fullmatch(r" +\S*keys\.md:\d+-\d+", passages[2])
    assert "[2]  " in out


def test_without_an_answer_it_says_so_and_shows_what_was_found(kb, capsys):
    assert run(["ask", kb, "Who was the king of Spain?", "--abstain-below", "1"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("Not in these documents: the passages are too unlikely to hold an answer (0.")
    assert "at least 1.00 is wanted). The best passages all the same:" in out
    assert "[1]  " in out
    assert run(["ask", kb, QUESTION, "--where", "id = 'none'"]) == 1
    assert capsys.readouterr().out == "Not in these documents: nothing was found.\n"


def test_where_an_answer_is_only_possible_it_says_so(asked):
    code, out, _ = asked(QUESTION, "--answer-from", "1")
    assert code == 5
    first, blank, quoted, *_ = out.splitlines()
    assert re.fullmatch(r"Perhaps here \(confidence 0\.\d\d; an answer is given plainly from 1\.00 on\):", first)
    assert (blank, TRUE in quoted) == ("", True)


def test_an_empty_collection_has_no_answer(tmp_path, capsys, minilm_folder):
    settings = gnomon.CollectionSettings(model=str(minilm_folder))
    gnomon.open(tmp_path / "empty", settings=settings).close()
    assert run(["ask", str(tmp_path / "empty"), QUESTION]) == 1
    assert capsys.readouterr().out == "Not in these documents: nothing was found.\n"


def test_a_generated_answer_marks_what_is_not_supported(asked, server):
    server.script = [says(f"{TRUE} [1] They are made of cheese [2].")]
    code, out, err = asked(QUESTION, "--llm", server.url)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"{TRUE} [1] They are made of cheese. {NOT_SUPPORTED}"
    code, out, _ = asked(QUESTION, "--llm", server.url, "--llm-model", "toy", "--unsupported", "drop")
    assert out.splitlines()[:2] == [f"{TRUE} [1]", "(1 unsupported sentence left out)"]
    assert "cheese" not in out
    server.script = [says("They are made of cheese.")]
    code, out, _ = asked(QUESTION, "--llm", server.url)
    assert code == 1
    assert "the passages support nothing of what the language model wrote" in out.splitlines()[0]
    assert f"They are made of cheese. {NOT_SUPPORTED}" in out


def test_json_is_one_object_and_events_are_lines(asked, server):
    code, out, _ = asked(QUESTION, "--json")
    answer = json.loads(out)
    assert code == 0
    assert {"text", "sentences", "passages", "confidence", "warnings", "seconds"} <= set(answer)
    assert (answer["outcome"], answer["kind"]) == ("answered", "extractive")
    server.script = [says(f"{TRUE} [1]")]
    code, out, _ = asked(QUESTION, "--events", "--llm", server.url)
    events = [json.loads(line) for line in out.splitlines()]
    kinds = [event["event"] for event in events]
    assert (kinds[0], kinds[-2:]) == ("found", ["checked", "done"])
    assert "".join(event["text"] for event in events if event["event"] == "piece") == f"{TRUE} [1]"
    assert events[-1]["answer"]["text"] == TRUE
    assert events[-1]["answer"]["sentences"] == [events[-2]["sentence"]]
    assert asked(QUESTION, "--events", "--json")[0] == 2


@pytest.mark.parametrize("step", [fails(500), cut(f"{TRUE} [1] Then re")])
def test_when_the_model_fails_the_passages_are_shown_and_the_error(asked, server, step):
    server.script = [step]
    code, out, err = asked(QUESTION, "--llm", server.url, "--unsupported", "drop", "--timeout", "5")
    assert code == 3
    assert "[1]  Keys" in out
    assert re.search(r"^error +http.*(500|broke off)", err)
    assert "\nhint " in err
    code, out, err = asked(QUESTION, "--llm", server.url, "--json")
    assert code == 3
    assert json.loads(out)["outcome"] == "failed"
    assert json.loads(err)["error"]["kind"] == "GenerationFailed"


def test_what_stood_in_for_a_failure_is_a_note(asked, server):
    server.script = [fails(400), says(f"{TRUE} [1]")]
    code, out, err = asked(QUESTION, "--llm", server.url, "--expand", "hyde")
    assert (code, out.splitlines()[0]) == (0, f"{TRUE} [1]")
    assert re.match(r"note  expanding: http\S+ answered with HTTP status 400", err)


def test_a_model_is_taken_where_there_is_just_one(asked, server, monkeypatch):
    server.script = [says(f"{TRUE} [1]")]
    monkeypatch.setenv("GNOMON_LLM", server.url)
    assert json.loads(asked(QUESTION, "--json")[1])["model"] == "toy"
    assert json.loads(asked(QUESTION, "--json", "--llm", "")[1])["model"] is None
    monkeypatch.setenv("GNOMON_LLM_MODEL", "other")
    assert json.loads(asked(QUESTION, "--json")[1])["model"] == "other"
    assert server.requests[-1].body["model"] == "other"
    monkeypatch.delenv("GNOMON_LLM_MODEL")
    server.models = ["small", "large"]
    code, _, err = asked(QUESTION)
    assert code == 2
    assert re.search(r"has 2\nexpected  the name of one of its models: small, large\nhint      --llm-model small", err)
    server.models = None
    code, _, err = asked(QUESTION)
    assert code == 3
    assert "does not say which models there are: HTTP status 404" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--llm-model", "toy"], "without the address of its server"),
        (["--expand", "multi"], "--expand without --llm"),
        (["--llm", "nonsense", "--llm-model", "toy"], "'nonsense' as the address"),
        (["--template", "none.txt"], "none.txt cannot be read"),
        (["--abstain-below", "7"], "abstain_below = 7"),
        (["--passages", "0"], "passages = 0"),
        (["--history", "no/such/folder.jsonl"], "no folder no/such"),
        (["--where", "year >>"], "year >>"),
    ],
)
def test_wrong_input_is_told(asked, arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = asked(QUESTION, *arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_a_conversation_is_kept_in_a_file(asked, server, tmp_path):
    talk = tmp_path / "talk.jsonl"
    assert asked(QUESTION, "--history", talk, "--sentences", "1")[0] == 0
    assert [json.loads(line) for line in talk.read_text().splitlines()] == [{"question": QUESTION, "answer": TRUE}]
    talk.write_text(talk.read_text().rstrip("\n"))  # as an editor may leave it
    server.script = [says("How are keys rotated?"), says("Make a new one, then revoke the old one. [1]")]
    code, out, _ = asked("And how are they rotated?", "--history", talk, "--llm", server.url, "--json")
    assert json.loads(out)["standalone"] == "How are keys rotated?"
    assert TRUE in server.requests[0].prompt
    rows = [json.loads(line) for line in talk.read_text().splitlines()]
    assert [row["question"] for row in rows] == [QUESTION, "And how are they rotated?"]
    server.script = [fails(400)]
    assert asked("And why?", "--history", talk, "--llm", server.url)[0] == 3
    assert len(talk.read_text().splitlines()) == 2
    talk.write_text('{"question": "?"}\n')
    code, _, err = asked(QUESTION, "--history", talk)
    assert code == 2
    assert "talk.jsonl:1: no turn of a conversation" in err


def test_documents_and_models_cannot_steer_the_terminal(tmp_path, capsys, monkeypatch, server):
    with gnomon.open(tmp_path / "kb", encoder=HashEncoder(64)) as collection:
        collection.add([{"id": "e\x1b[2Jvil", "title": "T\x1b[31m", "text": "Keys\x1b]0;x\x07 live for 90 days."}])
        monkeypatch.setattr("gnomon.open", lambda *given, **options: collection)
        server.script = [says("\x1b[2JKeys live for 90 days. \u202eRed\x07 is a colour.")]
        run(["ask", "kb", QUESTION, "--abstain-below", "0", "--llm", server.url])
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", capsys.readouterr().out)


def test_ctrl_c_ends_the_request(kb, server):
    server.script = [stalls(f"{TRUE} [1] And then")]
    command = [sys.executable, "-c", SCRIPT, "ask", kb, QUESTION, "--abstain-below", "0", "--llm", server.url]
    process = subprocess.Popen([*command, "--events"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if '"event": "checked"' in line or '"And' in line:
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert server.disconnected.wait(5)


def test_nobody_at_the_address(asked):
    address = f"http://127.0.0.1:{free_port()}"
    code, out, err = asked(QUESTION, "--llm", address, "--llm-model", "toy")
    assert code == 3
    assert "[1]  Keys" in out
    assert "no language model answers at" in err


def an_answer(**changes):
    text = "Before that,  the gnomon\ncasts a shadow. After that, it is dark."
    passage = Passage(1, "docs/a.md", text, 100, 100 + len(text), 0.5, title="A", heading=("A", "B"))
    cited = Citation(1, "docs/a.md", 114, 140, text[14:40], 0.9)
    sentences = (
        Sentence("The gnomon casts a shadow.", 0, 26, (cited,), 0.9, True),
        Sentence("It is late.", 28, 39),
    )
    plain = {
        "question": "?", "standalone": "?", "outcome": "answered", "kind": "generated",
        "text": "The gnomon casts a shadow.\n\nIt is late.", "sentences": sentences, "passages": (passage,),
        "confidence": 0.8, "threshold": 0.5, "model": "toy",
    }  # fmt: skip
    return Answer(**{**plain, **changes})


def shown(answer, *, terminal=True, width=60):
    out = io.StringIO()
    color = "standard" if terminal else None
    print_answer(Console(file=out, width=width, force_terminal=terminal, color_system=color), answer)
    return out.getvalue()


def test_what_was_cited_of_a_passage_is_highlighted():
    assert shown(an_answer(), terminal=False) == (
        "The gnomon casts a shadow. [1]\n\n"
        f"It is late. {NOT_SUPPORTED}\n\n"
        "[1]  A › B  0.500\n"
        "     Before that, the gnomon casts a shadow. After that, it is dark.\n"
        "     docs/a.md, characters 100-164\n"
    )
    coloured = shown(an_answer())
    assert "\x1b[1;33mthe gnomon casts a shadow.\x1b[0m" in coloured.replace("\n     ", " ")
    assert NOT_SUPPORTED in Text.from_ansi(coloured).plain.replace("\n", " ")
    assert max(map(len, Text.from_ansi(coloured).plain.splitlines())) <= 60


@pytest.mark.parametrize(("start", "end"), [(0, 10), (500, 530), (1000, 1900), (1980, 2000)])
def test_of_a_long_passage_the_cited_part_is_shown(start, end):
    text = "".join(f"w{at:03d} " for at in range(400))
    quoted = quoted_text(text, [(start, end)])
    cited = text[start:end].strip()
    assert cited[:200] in quoted.plain
    assert len(quoted.plain) <= 1000
    assert quoted.plain.startswith("…") == (start > 100)
    assert not quoted_text(text, []).plain.startswith("…")
    styled = [quoted.plain[span.start : span.end] for span in quoted.spans if "yellow" in str(span.style)]
    assert styled[0].strip() == cited[: len(styled[0].strip())]


def test_cited_passages_come_first():
    answer = an_answer()
    others = tuple(replace(answer.passages[0], number=number, document=f"d{number}") for number in (7, 8))
    out = shown(replace(answer, passages=(others[0], *answer.passages, others[1])), terminal=False)
    assert re.findall(r"^\[(\d)]  ", out, re.M) == [*(str(one.number) for one in answer.passages), "7", "8"]


def test_why_there_is_no_answer():
    absent = {"outcome": "not in these documents", "text": "", "sentences": ()}
    assert "found no answer in the passages" in shown(an_answer(**absent), terminal=False)
    assert "(0.20, at least 0.50 is wanted)" in shown(an_answer(**absent, confidence=0.2), terminal=False)
    left = shown(an_answer(**absent, dropped=(Sentence("X is y.", 0, 0),)), terminal=False)
    assert "support nothing of what" in left
    assert "(1 unsupported sentence left out)" in left
    failed = an_answer(**{**absent, "outcome": "failed"}, failures=(Failure("generating", "X", "down"),))
    assert shown(failed, terminal=False).startswith("[1]  A")


def test_on_a_terminal_what_is_written_is_shown_and_then_gone():
    out = io.StringIO()
    console = Console(file=out, width=40, height=6, force_terminal=True, color_system=None)

    def screen(writing):
        return " ".join(writing._last_lines().plain.split())

    with LiveAnswer(console) as writing:
        for piece in ("The gnomon casts", " a shadow. [1] It is", "\x1b[2J late."):
            writing.show(TextDelta(piece))
        assert screen(writing) == "The gnomon casts a shadow. It is [2J late."
        writing.show(SentenceVerified(an_answer().sentences[0]))
        writing._live.refresh()
        assert screen(writing) == "The gnomon casts a shadow. [1] It is [2J late."
        writing.show(SentenceVerified(Sentence("It is\x1b[2J late.", 27, 42)))
        assert screen(writing) == f"The gnomon casts a shadow. [1] It is [2J late. {NOT_SUPPORTED}"
    assert "The gnomon casts a shadow. [1]" in out.getvalue()
    assert "\x1b[2J late" not in out.getvalue()
