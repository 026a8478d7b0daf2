"""A run that was stopped goes on with the result of one that was not, bit by bit."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest
import torch

from gnomon.core.errors import CollectionBusy, InvalidInput
from gnomon.train import fit
from gnomon.train.checkpoint import checkpoints, read_checkpoint
from support.training_recipes import pairs, scored, toml, toy, write_rows

GNOMON = "import sys; from gnomon.cli.main import run; sys.exit(run())"
RUNS = {
    "dropout": {},
    "mean of weights": {"optim": {"ema": 0.8}},
    "between start and end": {"optim": {"average": 0.4}},
    "learned temperature, cached": {
        "objective": {"name": "infonce", "learned": True},
        "optim": {"chunk": 5},
    },
    "early end": {"dev": {"patience": 1, "every": 1}, "optim": {"lr": 1e-6}},
    "cross": {"model": {"kind": "cross"}},
}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def changes(name, folder):
    """What a run of this name changes in the toy recipe."""
    if name == "cross":
        # A cross-encoder reads every pair: scored pairs are few.
        path = write_rows(folder / "scored.jsonl", scored(48))
        data = {"sources": [{"path": str(path)}], "dev": [{"path": str(path), "name": "same"}]}
        return {**RUNS[name], "data": data, "objective": {"name": "cosent"}}
    if name == "several sources":
        folder.mkdir(exist_ok=True)
        more = write_rows(folder / "more.jsonl", pairs(40, seed=4))
        sources = [
            {"path": str(folder / "train.jsonl"), "weight": 1.0, "prompts": {"query": "bar: "}},
            {"path": str(more), "weight": 3.0},
        ]
        return {"data": {"sources": sources, "mixing": "weighted"}}
    return RUNS[name]


def after(steps):
    """A `stop` that says so after this many steps."""
    asked = count(1)
    return lambda: next(asked) >= steps


def outcome(report):
    """All that two runs must have in common; folders, and seconds, are their own."""
    training = Path(report.training)
    rows = [json.loads(line) for line in (training / "log.jsonl").read_text().splitlines()]
    said = json.loads((training / "report.json").read_text())
    for one in (said, *rows):
        for own in ("seconds", "folder", "training"):
            one.pop(own, None)
    del said["recipe"]
    del said["data"]
    return (Path(report.folder) / "model.safetensors").read_bytes(), rows, said


@pytest.mark.parametrize("name", [*RUNS, "several sources"])
def test_stopped_and_resumed(name, tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = fit(toy(tmp_path / "whole", **changes(name, tmp_path / "whole")))
    recipe = toy(tmp_path / "parts", **changes(name, tmp_path / "parts"))
    ends = []
    for steps in (2, 3, 100):
        report = fit(recipe, stop=after(steps))
        ends.append(report.end)
        if report.end != "interrupted":
            break
        assert not Path(report.folder).exists()
    assert ends[0] == "interrupted"
    assert ends[-1] == whole.end == ("early" if name == "early end" else "done")
    weights, rows, said = outcome(report)
    expected = outcome(whole)
    assert rows == expected[1]
    assert said == expected[2]
    assert weights == expected[0]
    assert whole.evaluations
    assert len({row["loss"] for row in rows if "loss" in row}) > 1


def test_what_is_done_is_not_done_again(tmp_path):
    recipe = toy(tmp_path)
    first = fit(recipe)
    heard = []
    assert outcome(fit(recipe, progress=lambda now: heard.append(now.stage))) == outcome(first)
    assert "training" not in heard
    assert len((Path(first.training) / "log.jsonl").read_text().splitlines()) == first.steps + len(first.evaluations)


@pytest.mark.parametrize("how", ["cut off", "other bytes", "no state", "half a state"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(how, tmp_path):
    whole = fit(toy(tmp_path / "whole"))
    recipe = toy(tmp_path / "parts")
    stopped = fit(recipe, stop=after(5))
    before, newest = checkpoints(Path(stopped.training) / "checkpoints")
    assert (before.name, newest.name) == ("step-00000003", "step-00000005")
    body = (newest / "tensors.safetensors").read_bytes()
    if how == "cut off":
        (newest / "tensors.safetensors").write_bytes(body[: len(body) // 2])
    elif how == "other bytes":
        (newest / "tensors.safetensors").write_bytes(body[:-64] + bytes(64))
    elif how == "no state":
        (newest / "state.json").unlink()
    else:
        (newest / "state.json").write_text('{"version": 1, "step"')
    found = read_checkpoint(newest.parent)
    assert found is not None
    assert found.step == 3
    steps = []
    report = fit(recipe, progress=lambda now: steps.append(now.done) if now.stage == "training" else None)
    assert steps[0] == 4
    assert outcome(report) == outcome(whole)


@pytest.mark.parametrize(
    ("half", "aside"),
    [(".step-00000005.ab12.new", ".{name}.ab12.old"), (".new-abc", ".old-{name}")],
    ids=["now", "0.1"],
)
def test_what_an_end_in_the_middle_of_writing_leaves(half, aside, tmp_path):
    recipe = toy(tmp_path, output={"keep": 1})
    stopped = fit(recipe, stop=after(4))
    folder = Path(stopped.training) / "checkpoints"
    (only,) = checkpoints(folder)
    (folder / half).mkdir()
    only.rename(folder / aside.format(name=only.name))
    found = read_checkpoint(folder)
    assert found is not None
    assert found.step == 4
    assert [path.name for path in folder.iterdir()] == [only.name]


def test_another_recipe_is_refused_and_fresh_begins_anew(tmp_path):
    fit(toy(tmp_path), stop=after(4))
    other = toy(tmp_path, optim={"lr": 2e-3, "epochs": 1})
    with pytest.raises(InvalidInput) as caught:
        fit(other)
    assert caught.value.message.endswith("started with another recipe: optim.epochs, optim.lr")
    assert "--fresh" in caught.value.hint
    # What makes no other model may change.
    assert fit(toy(tmp_path, optim={"chunk": 8}, output={"keep": 3}), stop=after(1)).steps == 5
    steps = []
    report = fit(other, resume=False, progress=lambda now: steps.append(now.done) if now.stage == "training" else None)
    assert steps == list(range(1, 7))
    assert outcome(report) == outcome(fit(toy(tmp_path / "own", optim={"lr": 2e-3, "epochs": 1})))


def test_other_data_is_refused(tmp_path):
    recipe = toy(tmp_path)
    fit(recipe, stop=after(4))
    write_rows(tmp_path / "train.jsonl", pairs(96, seed=8))
    with pytest.raises(InvalidInput) as caught:
        fit(recipe)
    assert caught.value.message == "data that changed since the run started: train/train"
    assert "--fresh" in caught.value.hint


def test_two_runs_in_one_folder(tmp_path):
    recipe, caught = toy(tmp_path), []

    def second(now):
        if now.stage == "training" and not caught:
            with pytest.raises(CollectionBusy) as error:
                fit(recipe)
            caught.append(error.value)

    assert fit(recipe, progress=second).end == "done"
    assert "another process trains into" in caught[0].message


def program(recipe):
    """A real `gnomon train`."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", GNOMON, "train", str(recipe), "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(training, steps, running):
    log = training / "log.jsonl"
    while running.poll() is None and (not log.exists() or log.read_text().count('"loss"') < steps):
        time.sleep(0.02)


@pytest.mark.slow
def test_interrupted_by_the_keyboard(tmp_path):
    recipe = toml(tmp_path / "parts", optim={"epochs": 30})
    training = tmp_path / "parts" / "model.training"
    running = program(recipe)
    wait_for(training, 3, running)
    running.send_signal(signal.SIGINT)
    said, notes = running.communicate(timeout=120)
    assert running.returncode == 130, notes
    report = json.loads(said)
    assert report["end"] == "interrupted"
    assert checkpoints(training / "checkpoints")[-1].name == f"step-{report['steps']:08d}"
    done = program(recipe)
    said, notes = done.communicate(timeout=240)
    assert done.returncode == 0, notes
    whole = fit(toml(tmp_path / "whole", optim={"epochs": 30}))
    assert json.loads(said)["steps"] == whole.steps
    own, expected = (tmp_path / name / "model" / "model.safetensors" for name in ("parts", "whole"))
    assert own.read_bytes() == expected.read_bytes()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_any_moment(tmp_path):
    changed = {"optim": {"epochs": 25, "ema": 0.9}, "output": {"checkpoint_every": 2}, "dev": {"every": 5}}
    whole = fit(toml(tmp_path / "whole", **changed))
    recipe, rng = toml(tmp_path / "parts", **changed), random.Random(20)
    training = tmp_path / "parts" / "model.training"
    for killed in range(6):
        running = program(recipe)
        wait_for(training, whole.steps * killed // 8, running)
        time.sleep(rng.uniform(0, 0.6))
        assert running.poll() is None, running.communicate()
        running.send_signal(signal.SIGKILL)
        running.communicate()
    last = program(recipe)
    _, notes = last.communicate(timeout=300)
    assert last.returncode == 0, notes
    report = json.loads((training / "report.json").read_text())

    class Last:
        folder, training = report["folder"], report["training"]

    assert outcome(Last) == outcome(whole)
