"""gnomon train: what it says of good and of bad input."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import gnomon
from gnomon.cli.main import run
from gnomon.train.recipe.recipe import read_recipe
from support import training_recipes as toys

GNOMON = "import sys; from gnomon.cli.main import run; sys.exit(run())"
SHORT = {"steps": 2, "epochs": 1}


def asked(recipe, capsys, *more):
    """The exit code, and what was said as JSON: the error's where there is one."""
    code = run(["train", str(recipe), "--json", *more])
    said = capsys.readouterr()
    return code, json.loads(said.out if code == 0 else said.err.splitlines()[-1])


def with_rows(folder, rows, **changed):
    folder.mkdir(exist_ok=True)
    data = {"sources": [{"path": str(toys.write_rows(folder / "rows.jsonl", rows))}]}
    return toys.toml(folder, data=data, **{"optim": SHORT, **changed})


def test_a_recipe_to_a_model(tmp_path, capsys):
    recipe = toys.toml(tmp_path, optim={"epochs": 3, "lr": 5e-3})
    assert run(["train", str(recipe)]) == 0
    said = capsys.readouterr()
    assert str(tmp_path / "model") in said.out
    assert "18 steps, 288 examples" in " ".join(said.out.split())
    assert "nothing wrong was found" in said.out
    assert "nDCG@10" in said.out
    assert "evaluating" in said.err
    assert gnomon.load_encoder(tmp_path / "model").space.dim == 32
    code, report = asked(recipe, capsys)
    assert code == 0
    assert report["space"]["dim"] == 32
    assert report["warnings"] == []


def test_bad_rows_are_left_out_and_named(tmp_path, capsys):
    good = toys.pairs(20)
    bad = [
        {"query": "", "positive": "bar best"},
        {"query": "bar best", "positive": "  "},
        {"query": "bar", "positive": "BAR "},
        {"query": "bar", "positive": None},
        good[3],
    ]
    recipe = with_rows(tmp_path, [*good, *bad])
    code, report = asked(recipe, capsys)
    assert code == 0
    (source,) = report["data"]["checked"]["train"]
    assert source["counts"] == {
        "empty query": 1,
        "empty document": 1,
        "equal sides": 1,
        "unreadable row": 1,
        "duplicate": 1,
    }
    assert report["data"]["checked"]["left_out"] == {"rows": 4}
    assert run(["train", str(recipe)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "1 × empty query (left out)" in said
    assert "1 × duplicate" in said
    code, error = asked(recipe, capsys, "--strict", "--fresh")
    assert code == 2
    assert "1 × equal sides, as" in error["error"]["message"]
    assert "rows.jsonl:23" in error["error"]["message"]


def test_only_bad_rows(tmp_path, capsys):
    code, said = asked(with_rows(tmp_path, [{"query": "", "positive": "bar"}] * 3), capsys)
    assert code == 2
    assert said["error"]["message"] == "the source rows has no examples"


def test_a_leak_is_reported_and_with_strict_refused(tmp_path, capsys):
    held = toys.pairs(24, seed=1)
    recipe = with_rows(tmp_path, [*toys.pairs(30), held[0], {**held[1], "positive": "bar best"}])
    code, said = asked(recipe, capsys, "--strict")
    assert code == 2
    assert "1 × leaked pair, as" in said["error"]["message"]
    assert "1 × leaked query, as" in said["error"]["message"]
    assert not (tmp_path / "model").exists()
    code, report = asked(recipe, capsys)
    assert code == 0
    assert report["data"]["checked"]["train"][0]["counts"] == {"leaked pair": 1, "leaked query": 1}
    page = Path(report["training"], "report.html").read_text()
    assert "leaked pair" in page


def test_labels_out_of_range(tmp_path, capsys):
    rows = [{**row, "score": 5 * row["score"]} for row in toys.scored(40)]
    recipe = with_rows(tmp_path, rows, objective={"name": "cosine"})
    code, report = asked(recipe, capsys)
    assert code == 0
    assert report["data"]["checked"]["train"][0]["counts"] == {"label out of range": 32}
    data = {"sources": [{"path": str(tmp_path / "rows.jsonl"), "scale": [0.0, 5.0]}]}
    scaled = toys.toml(tmp_path, data=data, objective={"name": "cosine"}, optim=SHORT)
    code, report = asked(scaled, capsys, "--fresh")
    assert report["data"]["checked"]["train"][0]["counts"] == {}


def test_a_loss_that_is_not_a_number(tmp_path, capsys):
    recipe = toys.toml(tmp_path, optim={"lr": 1e30, "clip": 0.0, "epochs": 1})
    code, said = asked(recipe, capsys)
    assert code == 1
    assert said["error"]["kind"] == "TrainingDiverged"
    assert "train.jsonl:" in said["error"]["message"]
    assert not (tmp_path / "model").exists()
    assert (tmp_path / "model.training" / "checkpoints" / "step-00000000").is_dir()
    code, said = asked(toys.toml(tmp_path, optim={"clip": 0.0, "epochs": 1}), capsys)
    assert code == 0


def test_keys_and_values_that_are_none(tmp_path, capsys):
    recipe = toys.toml(tmp_path)
    good = recipe.read_text()
    recipe.write_text(good.replace("[optim]\n", "[optim]\nbatchsize = 3\n"))
    code, said = asked(recipe, capsys)
    assert code == 2
    assert "batchsize" in said["error"]["message"]
    assert "batch_size" in said["error"]["expected"] + said["error"]["hint"]
    recipe.write_text(good.replace("[optim]\n", "[optim\n"))
    code, said = asked(recipe, capsys)
    assert (code, "is no TOML" in said["error"]["message"]) == (2, True)
    code, said = asked(tmp_path / "none.toml", capsys)
    assert (code, said["error"]["kind"]) == (2, "UnreadableFile")


def test_a_backbone_without_a_tokenizer(tmp_path, capsys):
    recipe = toys.toml(tmp_path, optim=SHORT, data={"dev": []})
    assert asked(recipe, capsys)[0] == 0
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        (bare / name).write_bytes((tmp_path / "model" / name).read_bytes())
    text = recipe.read_text()
    start, end = text.index("[model.new"), text.index("[data]") if "[data]" in text else text.index("[[data")
    text = text[:start] + text[end:]
    recipe.write_text(text.replace("[model]\n", f'[model]\nbackbone = "{bare}"\n'))
    code, said = asked(recipe, capsys, "--fresh")
    assert code != 0
    assert "tokenizer" in said["error"]["message"] + said["error"]["expected"]
    assert said["error"]["hint"]


def test_another_recipe_in_the_folder(tmp_path, capsys):
    assert asked(toys.toml(tmp_path, optim=SHORT), capsys)[0] == 0
    other = toys.toml(tmp_path, optim={**SHORT, "seed": 5})
    code, said = asked(other, capsys)
    assert code == 2
    assert said["error"]["message"].endswith("started with another recipe: optim.seed")
    assert "--fresh" in said["error"]["hint"]
    assert asked(other, capsys, "--fresh")[0] == 0


@pytest.mark.parametrize("how", ["the program", "the library"])
def test_without_torch(how, tmp_path):
    recipe = toys.toml(tmp_path)
    blocked = "import sys; sys.modules['torch'] = None; "
    code = GNOMON if how == "the program" else "from gnomon.train import fit"
    done = subprocess.run(
        [sys.executable, "-c", blocked + code, "train", str(recipe)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    said = " ".join(done.stderr.split())
    assert done.returncode == (2 if how == "the program" else 1)
    assert "torch is not installed" in said
    assert "pip install 'gnomon[train]'" in said


TOO_LITTLE = """
import resource, sys
from pathlib import Path
from gnomon.train import fit

def limit(now):
    # As soon as the data is read: what is mapped by then, and a little.
    if now.stage == "evaluating" or now.stage == "training":
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + 150 * 2**20,) * 2)

try:
    fit(sys.argv[1], progress=limit)
except ValueError as error:
    print(error)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="it reads /proc")
def test_too_little_memory_names_the_chunk_to_set(tmp_path):
    long = [{"query": row["query"] * 60, "positive": row["positive"] * 60} for row in toys.pairs(600)]
    path = toys.write_rows(tmp_path / "long.jsonl", long)
    dev = toys.write_rows(tmp_path / "few.jsonl", toys.pairs(3, seed=1))
    recipe = toys.toml(
        tmp_path,
        model={"new": {**toys.NEW, "max_tokens": 128, "hidden": 64}},
        data={"sources": [{"path": str(path)}], "dev": [{"path": str(dev)}]},
        optim={"batch_size": 600, "epochs": 1},
    )
    done = subprocess.run(
        [sys.executable, "-c", TOO_LITTLE, str(recipe)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert "out of memory for a batch of 1200 texts" in done.stdout, done.stderr[-2000:]
    assert "set chunk_tokens = " in done.stdout


def test_help_shows_a_recipe_that_is_read(capsys):
    assert run(["train", "--help"]) == 0
    shown = [line[4:].rstrip() for line in capsys.readouterr().out.splitlines() if line.startswith("    ")]
    recipe = read_recipe(tomllib.loads("\n".join(shown)))
    assert recipe.data.sources[0].path == "faq.jsonl"
    assert recipe.output.folder == "models/faq"
