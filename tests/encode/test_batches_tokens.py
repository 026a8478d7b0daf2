"""Batches, tokenisation, settings, stored tensors and MPNet's buckets: the encoder's small parts."""

import json
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from gnomon.core.errors import InvalidInput, ModelUnsupported
from gnomon.encode.graph.weights import Weights
from gnomon.encode.runtime.batches import length_batches, pad, prefetch
from gnomon.encode.runtime.tokenizer import TextTokenizer, check_texts
from gnomon.encode.settings import EncoderSettings, available_cpus


@given(st.lists(st.integers(0, 600), max_size=60), st.integers(1, 2000))
def test_batches_hold_every_text_once_within_the_budget_longest_first(lengths, budget):
    made = length_batches(np.array(lengths, dtype=np.int64), budget_tokens=budget)
    assert sorted(at for batch in made for at in batch.tolist()) == list(range(len(lengths)))
    for batch in made:
        longest = max(lengths[at] for at in batch)
        assert len(batch) == 1 or longest * len(batch) <= budget
    flat = [lengths[at] for batch in made for at in batch]
    assert flat == sorted(lengths, reverse=True)


@given(st.lists(st.lists(st.integers(1, 9), max_size=5), min_size=1, max_size=5))
def test_padding_keeps_every_row(rows):
    padded = pad([np.array(row, dtype=np.int32) for row in rows], pad_id=0)
    assert padded.shape == (len(rows), max(len(row) for row in rows))
    assert [[i for i in row if i] for row in padded.tolist()] == rows


def test_the_next_item_is_made_while_this_one_is_worked_with():
    made = [threading.Event() for _ in range(4)]

    def make(item):
        made[item].set()
        return item

    work = prefetch(make, range(3))
    for item in work:
        assert item == 2 or made[item + 1].wait(20)
        assert not made[min(item + 2, 3)].is_set()


def test_an_error_ahead_comes_in_its_turn_and_an_early_end_leaves_no_thread():
    work = prefetch(lambda item: 6 // item, [3, 2, 0, 1])
    assert [next(work), next(work)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(work)
    work = prefetch(str, range(9))
    assert next(work) == "0"
    work.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("gnomon-ahead")]


@pytest.fixture
def tokenizer(tiny, tmp_path):
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(tiny.tokenizer("bert")))
    return lambda **changes: TextTokenizer(file, **({"prompts": {}, "max_tokens": 6, "threads": 1} | changes))


@pytest.mark.parametrize("threads", [1, 2])
@given(lengths=st.lists(st.integers(0, 40), max_size=6))
def test_counts_are_those_before_the_cut(lengths, threads, tiny, tmp_path_factory):
    file = tmp_path_factory.mktemp("t") / "tokenizer.json"
    file.write_text(json.dumps(tiny.tokenizer("bert")))
    made = TextTokenizer(file, prompts={}, max_tokens=6, threads=threads)
    found = made.tokenise([" ".join(["w1"] * length) for length in lengths], role="query")
    assert found.counts == [length + 2 for length in lengths]
    assert [len(row) for row in found.ids] == [min(6, length + 2) for length in lengths]
    assert all(row[0] == 2 and row[-1] == 3 for row in found.ids)


def test_the_files_own_truncation_is_dropped(tokenizer):
    made = tokenizer(max_tokens=50)
    assert made.tokenise(["w1 " * 20], role="query").counts == [22]
    plain = json.loads(made.json)
    assert plain["truncation"] is None
    assert plain["padding"] is None


def test_slices_keep_the_order(tokenizer, monkeypatch):
    monkeypatch.setattr("gnomon.encode.runtime.tokenizer.SLICE_TEXTS", 2)
    found = tokenizer().tokenise([f"w{at}" for at in range(7)], role="document")
    assert [int(row[1]) for row in found.ids] == [4 + at for at in range(7)]


@pytest.mark.parametrize(("threads", "cpus", "most"), [(1, 8, 1), (2, 8, 2), (3, 8, 3), (8, 8, 7), (8, 2, 7)])
def test_no_more_texts_at_once_than_threads(threads, cpus, most, tokenizer, monkeypatch):
    monkeypatch.setattr("gnomon.encode.runtime.tokenizer.available_cpus", lambda: cpus)
    made = tokenizer(threads=threads)
    real, sizes = made._tokenizer, []

    class Counting:
        def encode(self, text, **how):
            sizes.append(1)
            return real.encode(text, **how)

        def encode_batch_fast(self, texts, **how):
            sizes.append(len(texts))
            return real.encode_batch_fast(texts, **how)

    made._tokenizer = Counting()
    found = made.tokenise([f"w{at}" for at in range(7)], role="document")
    assert [int(row[1]) for row in found.ids] == [4 + at for at in range(7)]
    assert (max(sizes), sum(sizes)) == (most, 7)


def test_a_lone_surrogate_is_refused_by_position(tokenizer):
    for threads in (1, 2):
        with pytest.raises(InvalidInput, match=r"positions \[1\]"):
            tokenizer(threads=threads).tokenise(["w1", "a\ud800b", "w2"], role="query")


def test_no_room_for_text_is_refused(tokenizer):
    with pytest.raises(ModelUnsupported, match="a limit of 2 tokens, 2 of which are special"):
        tokenizer(max_tokens=2)


def test_a_prompt_that_leaves_no_room_is_refused(tokenizer):
    tokenizer(prompts={"query": "w1 w2 w3 "})
    with pytest.raises(InvalidInput, match="a query prompt of 6 tokens, special tokens included"):
        tokenizer(prompts={"query": "w1 w2 w3 w4 "})


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelUnsupported, match="is not a tokenizer") as refused:
        TextTokenizer(tmp_path / "tokenizer.json", prompts={}, max_tokens=8, threads=1)
    assert "fetch" in refused.value.hint


def test_texts_must_be_a_sequence_of_strings():
    with pytest.raises(InvalidInput, match="one string"):
        check_texts("text")
    with pytest.raises(InvalidInput, match=r"texts\[1\] is of type NoneType"):
        check_texts(["a", None])


@pytest.mark.parametrize(
    "wrong",
    [{"threads": 0}, {"batch_tokens": 0}, {"dim": -1}, {"precision": "int4"}, {"device": "tpu"}],
    ids=str,
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        EncoderSettings(**wrong)


def test_a_containers_quota_limits_the_threads(tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)), raising=False)
    assert available_cpus(tmp_path) == 16
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    assert available_cpus(tmp_path) == 16
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("300000\n")
    assert available_cpus(tmp_path) == 3
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert available_cpus(tmp_path) == 2
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "cpu" / "cpu.cfs_quota_us").unlink()
    assert available_cpus(tmp_path) == 16


def test_stored_tensors_are_views_and_bfloat16_is_widened(tmp_path):
    value = np.array([[1.0, -2.5], [0.15625, 3e38]], dtype=np.float32)
    save_file({"a": value}, tmp_path / "plain.safetensors")
    found = Weights(tmp_path / "plain.safetensors")["a"]
    np.testing.assert_array_equal(found.float32(), value)
    assert np.shares_memory(found.float32(), found.bits)
    bits = (value[:, :1].copy().view(np.uint32) >> 16).astype(np.uint16)
    header = json.dumps({"b": {"dtype": "BF16", "shape": [2, 1], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "half.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bits.tobytes())
    half = Weights(tmp_path / "half.safetensors")["b"]
    np.testing.assert_array_equal(half.float32(), value[:, :1])
    # torch.tensor(768 ** 0.5).bfloat16(), which EmbeddingGemma's embeddings are multiplied by.
    assert (half.rounded(768**0.5), found.rounded(768**0.5)) == (27.75, float(np.float32(768**0.5)))


def test_mpnet_buckets_change_where_the_trained_ones_do():
    from gnomon.kernels.relative_positions import t5_buckets

    # MPNetEncoder.relative_position_bucket of transformers 5.23.0 over -600..600.
    found = t5_buckets(np.arange(-600, 601))
    ahead, behind = found[600:], found[600::-1]
    assert (np.flatnonzero(np.diff(ahead)) + 1).tolist() == [*range(1, 9), 12, 16, 23, 32, 46, 64, 91]
    assert (ahead[1:] - behind[1:] == 16).all()
    assert (int(behind[0]), int(behind[1]), int(behind[-1])) == (0, 1, 15)
