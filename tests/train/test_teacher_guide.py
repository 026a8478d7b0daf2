"""The commands and recipes of "Training with a teacher" in docs/training.md, run on a collection of a moment."""

import json
import re
from pathlib import Path

import pytest

import gnomon
from gnomon.cli.main import run
from gnomon.encode.load import load_scorer
from gnomon.train.data import open_source
from gnomon.train.fit import fit
from gnomon.train.mining.teach import TeacherPlaces, open_teacher
from support.training_recipes import WORDS, pairs, toy

GUIDE = Path(__file__).parents[2] / "docs" / "training.md"
STATIC = {"kind": "static", "new": {"hidden": 32, "heads": 2}, "dim": 32, "vocabulary": 600}


@pytest.mark.slow
def test_the_guide_runs_as_it_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    section = GUIDE.read_text("utf-8").partition("## Training with a teacher")[2].partition("\n## ")[0]
    first, last = re.findall(r"\n\n```\n(.*?)```", section, re.DOTALL)
    taught, student = re.findall(r"```toml\n(.*?)```", section, re.DOTALL)
    assert last.startswith("gnomon migrate kb --set query_encoder.model=")
    teacher = fit(toy(tmp_path / "teacher", model=STATIC, optim={"epochs": 8, "lr": 0.03}, dev={"map": 0}))
    small = fit(toy(tmp_path / "small", optim={"steps": 1}, dev={"map": 0}))
    with gnomon.open(tmp_path / "kb", settings=gnomon.CollectionSettings(model=teacher.folder)) as kb:
        kb.add([f"Section {n}. {WORDS[n]} {row['positive']}." for n, row in enumerate(pairs(60, seed=2))])

    def here(text):
        return text.replace("gte-small", teacher.folder).replace("all-MiniLM-L6-v2", small.folder)

    Path("taught.toml").write_text(here(taught).replace("batch_size = 32", "batch_size = 8\nsteps = 2"))
    for command in first.strip().splitlines():
        assert run([*here(command).split()[1:]]) == 0
    rows = open_source("taught.jsonl")
    assert rows.form == "scored"
    assert "an answer before a random passage in" in capsys.readouterr().out
    assert gnomon.load_encoder("models/taught").space.dim == 32
    cross = here(taught).replace('kind = "bi"', 'kind = "cross"\nhead = "maxsim"\nmax_tokens = 24')
    cross = cross.replace("batch_size = 32", "batch_size = 8\nsteps = 2").replace("models/taught", "models/cross")
    for name, text in (("cross.toml", cross), ("student.toml", here(student) + "\n[dev]\nmap = 0\n")):
        Path(name).write_text(text)
        assert run(["train", name]) == 0
    assert load_scorer("models/cross").score("a b", ["c d"]).shape == (1,)
    assert gnomon.load_encoder("models/student").space.dim == 32
    assert open_teacher("models/cross", places=TeacherPlaces(tmp_path)).scorer is not None
    # A collection as the teacher is its model, whose vectors are there already, and BM25.
    command = ["mine", "kb", "--teacher", "kb", "--kinds", "keywords", "--per-kind", "12", "--out", "own.jsonl"]
    capsys.readouterr()
    assert run([*command, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["teacher"] == f"0.5 {teacher.folder} + 0.5 bm25"
    assert report["rows"] == 12
    made = next(Path("own.jsonl.vectors").glob("*.vectors")).stat().st_size // (32 + 4 * 32)
    assert made == report["passages"] + 12
