"""Checkpoints: whole or not there, read back as they were."""

import json

import pytest
import torch

from gnomon.core.errors import InvalidInput, StorageError
from gnomon.train.checkpoint import (
    Checkpoint,
    drop_newest_checkpoint,
    optimiser_state,
    optimiser_tensors,
    read_checkpoint,
    write_checkpoint,
)


def made(step, value=0.0):
    shared = torch.full((4,), value)
    tensors = {
        "model/a": shared,
        "model/tied": shared,
        "random/cpu": torch.arange(8, dtype=torch.uint8),
        "optimiser/0/step": torch.tensor(3.0),
        "best/half": torch.ones(2, dtype=torch.bfloat16),
    }
    return Checkpoint(step, tensors, {"standing": {"step": step}, "digests": {"train/a": "0"}})


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_was_written_is_read_back(tmp_path):
    written = made(7, 1.5)
    write_checkpoint(tmp_path / "kept", written, keep=1)
    found = read_checkpoint(tmp_path / "kept")
    assert found.step == 7
    assert dict(found.plain) == written.plain
    assert found.tensors.keys() == written.tensors.keys()
    for name, tensor in written.tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor)
    assert found.part("model").keys() == {"a", "tied"}
    assert found.part("mod") == {}


def test_the_newest_stay(tmp_path):
    for step in (5, 50, 100, 9):
        write_checkpoint(tmp_path, made(step), keep=2)
    assert names(tmp_path) == ["step-00000050", "step-00000100"]
    assert read_checkpoint(tmp_path).step == 100


def test_one_of_the_same_step_is_replaced(tmp_path):
    write_checkpoint(tmp_path, made(3, 1.0), keep=1)
    write_checkpoint(tmp_path, made(3, 2.0), keep=1)
    assert names(tmp_path) == ["step-00000003"]
    assert float(read_checkpoint(tmp_path).part("model")["a"][0]) == 2.0


def test_none_where_there_is_none(tmp_path):
    assert read_checkpoint(tmp_path / "none") is None
    write_checkpoint(tmp_path, made(3), keep=1)
    (tmp_path / "step-00000003" / "tensors.safetensors").unlink()
    assert read_checkpoint(tmp_path) is None


def test_one_of_another_version(tmp_path):
    state = write_checkpoint(tmp_path, made(3), keep=1) / "state.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "version": 99}))
    with pytest.raises(InvalidInput) as caught:
        read_checkpoint(tmp_path)
    assert "of a newer gnomon" in caught.value.message
    assert caught.value.expected == "version 2 or before"


def test_no_room(tmp_path):
    (tmp_path / "kept").write_text("a file where the folder is to be")
    with pytest.raises(StorageError) as caught:
        write_checkpoint(tmp_path / "kept", made(3), keep=1)
    assert "step-00000003 cannot be written" in caught.value.message
    assert "training continues from the last one" in caught.value.hint


def test_the_newest_goes_only_where_another_is_left(tmp_path):
    write_checkpoint(tmp_path, made(3), keep=2)
    assert not drop_newest_checkpoint(tmp_path, 3)
    write_checkpoint(tmp_path, made(6), keep=2)
    assert not drop_newest_checkpoint(tmp_path, 7)
    assert drop_newest_checkpoint(tmp_path, 6)
    assert names(tmp_path) == ["step-00000003"]


def test_an_optimisers_state_is_tensors_and_back():
    weights = [torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(2))]
    first, second = (torch.optim.AdamW(weights, lr=0.1) for _ in range(2))
    for weight in weights:
        weight.grad = torch.full_like(weight, 0.5)
    first.step()
    second.load_state_dict(optimiser_state(second.state_dict(), optimiser_tensors(first.state_dict())))
    for weight in weights:
        assert first.state[weight].keys() == second.state[weight].keys()
        for name, value in first.state[weight].items():
            assert torch.equal(second.state[weight][name], value)
