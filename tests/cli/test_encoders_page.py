"""docs/encoders.md, followed word for word on a small corpus of our own; only the networks are smaller."""

import json
import re
import shlex
from pathlib import Path

import pytest

import gnomon
from gnomon.cli.main import run
from gnomon.evaluate.comparison import MIN_QUERIES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "encoders.md"
THINGS = (
    "kettle anvil violin compass lantern saddle thimble teapot sundial hammer mirror barrel carpet basket "
    "candle ladder".split()
)
SMALL = {"hidden = 256, layers = 3, heads = 8": "hidden = 32, layers = 1, heads = 2"}
NO_PICTURES = "\n[dev]\nmap = 0\n"
PLACES = "Oslo Lima Cairo Quito Delhi Turin Perth Kyoto Accra Hanoi Malmo Tunis Porto Riga Bern Cork".split()


def blocks(kind):
    """The page's code blocks of a kind, with the file that the paragraph before names, if any."""
    found = re.findall(rf"(?:^`([^`\n]+)`\n\n)?^```{kind}\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    assert found
    return found


def commands():
    return [line for _, block in blocks("sh") for line in block.splitlines()]


def rows():
    """Data of the four forms that the page shows, more rows of each, and the page's own first."""
    data = {
        "pairs.jsonl": [
            {"query": f"{ask} {thing}", "positive": f"The {thing} is made in {place}."}
            for thing, place in zip(THINGS, PLACES, strict=True)
            for ask in ("where do they make the", "origin of the", "who makes the")
        ],
        "corpus.jsonl": [
            {"_id": thing, "title": "", "text": f"The {thing} is made in {place}. It costs {n + 20} crowns."}
            for n, (thing, place) in enumerate(zip(THINGS, PLACES, strict=True))
        ],
        "golden.jsonl": [{"query": f"where the {thing} comes from", "relevant": [thing]} for thing in THINGS],
        "qa.jsonl": [
            {"id": thing, "question": f"Where is the {thing} made?", "answer": place, "document": thing}
            for thing, place in zip(THINGS, PLACES, strict=True)
        ],
    }
    shown = {name: json.loads(block) for name, block in blocks("json")}
    assert shown.keys() == data.keys()
    for name, row in shown.items():
        assert row.keys() == data[name][0].keys(), name
    return {name: [shown[name], *more] for name, more in data.items()}


@pytest.fixture
def followed(tmp_path, monkeypatch, capsys):
    """Every command of the page, run in order in a folder with its files: command -> what it printed."""
    pytest.importorskip("torch", reason="training wants the extra gnomon[train]")
    for name, block in blocks("toml"):
        for large, small in SMALL.items():
            assert large in block
            block = block.replace(large, small)
        (tmp_path / name).write_text(block + NO_PICTURES)
    for name, given in rows().items():
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in given))
    monkeypatch.chdir(tmp_path)
    said = {}
    for line in commands():
        program, *arguments = shlex.split(line)
        assert program == "gnomon"
        code = run(arguments)
        out, err = capsys.readouterr()
        assert code == 0, f"{line}\n{err}"
        said[line] = out
    return said


@pytest.mark.slow
def test_every_command_of_the_page_works(followed, tmp_path, capsys):
    assert len(followed) == 8
    one, two = (gnomon.load_encoder(tmp_path / "models" / name) for name in ("one", "two"))
    assert type(two).__name__ == "DualEncoder"
    assert type(one).__name__ != "DualEncoder"
    assert one.space.dim == two.space.dim == 256
    text = "where the kettle comes from"
    for encoder, alike in ((one, True), (two, False)):
        as_query, as_document = (encoder.encode([text], role=role).data for role in ("query", "document"))
        assert bool((abs(as_query - as_document) < 1e-2).all()) is alike

    compared = [out for line, out in followed.items() if line.startswith("gnomon compare")]
    for out in compared:
        assert re.search(r"^nDCG@10 +\S.*(is better|is not worse|is worse|Undecided).*$", out, re.M), out
        assert re.search(rf"^ +queries +{len(THINGS) + 1}: B better on ", out, re.M), out

    first, second = (out for line, out in followed.items() if line.startswith("gnomon eval answers"))
    for out in (first, second):
        assert re.search(rf"^data +qa.jsonl: {len(THINGS) + 1} questions$", out, re.M), out
        assert re.search(r"^again +with the evidence left out of the search: ", out, re.M), out
        for name in figures():
            assert re.search(rf"^{re.escape(name)} +[01]\.\d{{4}} ", out, re.M) or never(name, out), name
    assert "token F1" in second.rpartition("abstention")[2]
    assert re.search(r"^token F1 +\S.*(is better|is not worse|is worse|Undecided).*$", second, re.M), second
    assert len((tmp_path / "one.jsonl").read_text().splitlines()) == len(THINGS) + 1 >= MIN_QUERIES


def figures():
    """The figures that the page explains."""
    explained = PAGE.read_text().partition("| figure |")[2].partition("\n\n")[0]
    names = [name for row in explained.splitlines()[2:] for name in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert len(names) == 13
    return names


def never(name, out):
    """Precision is of what was not answered: where all was answered there is none."""
    return name == "abstention precision" and not re.search(r"^(asked|again) .*\d not in", out, re.M)


def test_the_page_explains_the_figures_that_there_are():
    from gnomon.answer.evaluation.metrics import JUDGED, MEASURES

    assert set(figures()) == set(MEASURES) - {JUDGED}


def test_the_two_recipes_differ_as_the_page_says():
    one, two = (block for _, block in blocks("toml"))
    lines = zip(one.splitlines(), two.splitlines(), strict=True)
    assert [pair for pair in lines if pair[0] != pair[1]] == [
        ('kind = "bi"', 'kind = "dual"'),
        ('folder = "models/one"', 'folder = "models/two"'),
    ]
