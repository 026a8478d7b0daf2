"""Two processes on loopback make the gradients of one that has the whole batch."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.core.errors import InvalidInput
from gnomon.train.batch import Batch, Example
from gnomon.train.distributed import BatchAcrossRanks, merge_batches
from support.two_ranks import CASES, EXAMPLES, step


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, torch.Tensor]]]:
    """What each of two processes found, by case."""
    folder = tmp_path_factory.mktemp("ranks")
    port = str(free_port())
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "support.two_ranks", str(rank), port, str(folder)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        said = [rank.communicate(timeout=120)[1] for rank in started]
    finally:
        for rank in started:
            rank.kill()
            rank.wait()
    assert [rank.returncode for rank in started] == [0, 0], "\n".join(said)
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_have_the_gradients_of_the_whole_batch(
    ranks: list[dict[str, dict[str, torch.Tensor]]], case: str
) -> None:
    whole = Batch.of([*EXAMPLES[0], *EXAMPLES[1]], in_batch=CASES[case][3])
    expected = step(case, whole, None)
    first, second = (found[case] for found in ranks)
    assert first.keys() == second.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(first[name], gradient, rtol=1e-5, atol=1e-5)
        assert torch.equal(first[name], second[name])
    # The ranks' own batches alone would have given something else.
    alone = [step(case, Batch.of(own, in_batch=CASES[case][3]), None) for own in EXAMPLES]
    mean = torch.stack([each["loss"] for each in alone]).mean()
    assert abs(float(mean - expected["loss"])) > 1e-3


def test_gradients_that_not_every_rank_has_are_averaged_with_zero(
    ranks: list[dict[str, dict[str, torch.Tensor]]],
) -> None:
    for found in ranks:
        assert found["idle"]["both"].tolist() == [0.5] * 3
        assert found["idle"]["one"].tolist() == [2.0] * 3


words = st.text("ab", min_size=1, max_size=2)
examples = st.builds(
    lambda query, documents: Example(query, tuple(documents), tuple(1.0 for _ in documents), "s", query),
    words,
    st.lists(words, min_size=1, max_size=3),
)


@settings(deadline=None)
@given(st.lists(st.lists(examples, min_size=1, max_size=3), min_size=1, max_size=3), st.booleans())
def test_merged_batches_are_the_batch_of_all_examples(parts: list[list[Example]], in_batch: bool) -> None:
    together = merge_batches([Batch.of(own, in_batch=in_batch) for own in parts], in_batch=in_batch)
    expected = Batch.of([example for own in parts for example in own], in_batch=in_batch)
    np.testing.assert_array_equal(together.labels, expected.labels)
    for field in ("queries", "documents", "own", "source", "ids"):
        assert getattr(together, field) == getattr(expected, field)


def test_ranks_with_different_sources_are_refused() -> None:
    batches = [Batch.of([Example("q", ("d",), (1.0,), source)], in_batch=True) for source in ("faq", "news")]
    with pytest.raises(InvalidInput) as caught:
        merge_batches(batches, in_batch=True)
    assert caught.value.message == "batches of the sources ['faq', 'news'] on the ranks of one step"
    assert "one stream" in caught.value.hint


def test_alone_nothing_is_gathered() -> None:
    assert BatchAcrossRanks.now(in_batch=True) is None
