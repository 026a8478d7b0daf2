"""Two processes make the model of one: `torchrun` and `accelerate launch` start them, gloo joins them."""

import json
import os
import subprocess
import sys

import pytest
from safetensors.torch import load_file

from gnomon.train import fit
from support.training_recipes import pairs, toml, write_rows

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
TORCHRUN = ("torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1")
# As it starts processes where there are GPUs; without one they meet on the CPU all the same.
ACCELERATE = ("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1")


def launch(how, recipe, *more, port="0"):
    ports = ("--master-port", port) if how == TORCHRUN else ("--main_process_port", port)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [sys.executable, "-m", *how, *ports, "-m", "support.fit_ranks", str(recipe), *more],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def free_port():
    import socket

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return str(listening.getsockname()[1])


def changes(folder):
    """Without dropout; 90 examples in batches of 16 leave 10 for the last."""
    folder.mkdir()
    path = write_rows(folder / "ninety.jsonl", pairs(90))
    return {
        "model": {"dropout": 0.0, "attention_dropout": 0.0},
        "data": {"sources": [{"path": str(path)}]},
        "optim": {"epochs": 2, "ema": 0.9},
        "objective": {"name": "infonce", "learned": True},
    }


@pytest.mark.parametrize("how", [TORCHRUN, ACCELERATE], ids=["torchrun", "accelerate"])
def test_the_model_of_two_processes_is_that_of_one(how, tmp_path):
    recipe = toml(tmp_path / "two", **changes(tmp_path / "two"))
    said = launch(how, recipe, port=free_port())
    whole = fit(toml(tmp_path / "one", **changes(tmp_path / "one")))
    assert sorted(one["rank"] for one in said) == [0, 1]
    # Every rank has the report; the first alone looks, writes and speaks.
    assert said[0]["report"] == said[1]["report"]
    assert {one["rank"]: one["heard"] > 0 for one in said} == {0: True, 1: False}
    # Threads of the group that outlive it crash now and then at the interpreter's end.
    assert [one["threads"] for one in said] == [0, 0]
    report = said[0]["report"]
    assert (report["steps"], report["examples"], report["end"]) == (whole.steps, whole.examples, "done")
    assert [step for step, _ in report["looks"]] == [step for step, _ in whole.evaluations]
    fit(toml(tmp_path / "none", **{**changes(tmp_path / "start"), "optim": {"lr": 1e-12, "steps": 1}}))
    own, expected, start = (
        load_file(tmp_path / name / "model" / "model.safetensors") for name in ("two", "one", "none")
    )
    # Adam makes a whole step of a gradient that is rounding, so a few numbers differ with the machine's threads:
    # tensors are compared, by the way that training moved them. A shift of all keys changes no softmax, so that
    # the gradient of their bias is rounding throughout.
    moved = {name: (tensor - start[name]).norm() for name, tensor in expected.items()}
    apart = {name: (own[name] - tensor).norm() for name, tensor in expected.items()}
    assert [n for n in apart if apart[n] > 0.01 * moved[n] and not n.endswith("key.bias")] == []
    assert any((tensor - start[name]).abs().max() > 1e-3 for name, tensor in expected.items())
    rows = (tmp_path / "two" / "model.training" / "log.jsonl").read_text().splitlines()
    assert len(rows) == whole.steps + len(whole.evaluations)


def test_two_processes_go_on_where_they_were_stopped(tmp_path):
    parts, whole = tmp_path / "parts", tmp_path / "whole"
    recipe = toml(parts, model={"dropout": 0.1})
    stopped = launch(TORCHRUN, recipe, "5", port=free_port())
    assert [one["report"]["end"] for one in stopped] == ["interrupted"] * 2
    done = launch(TORCHRUN, recipe, port=free_port())
    launch(TORCHRUN, toml(whole, model={"dropout": 0.1}), port=free_port())
    assert done[0]["report"]["end"] == "done"
    own, expected = (folder / "model" / "model.safetensors" for folder in (parts, whole))
    assert own.read_bytes() == expected.read_bytes()


def test_more_processes_than_a_batch_has_examples(tmp_path):
    recipe = toml(tmp_path, optim={"batch_size": 1})
    with pytest.raises(AssertionError, match="no batch of 2 examples in a whole epoch, for 2 processes"):
        launch(TORCHRUN, recipe, port=free_port())
