"""Calls of several threads encoded together: same vectors, own errors, nobody left waiting."""

import _thread
import random
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gnomon.core.errors import InvalidInput, TruncatedText
from gnomon.encode.batched import BatchedEncoder
from gnomon.encode.settings import EncoderSettings
from gnomon.encode.transformer import TransformerEncoder
from gnomon.testing.encoder import check_encoder

FP32 = EncoderSettings(threads=1, precision="fp32")
PATIENCE_S = 20


class Watched:
    """An encoder that counts its calls, can be held at a gate, and refuses texts that hold a given word."""

    def __init__(self, encoder, *, refuses="none of them"):
        self._encoder, self._refuses = encoder, refuses
        self.space, self.max_tokens = encoder.space, encoder.max_tokens
        self.tokenizer_json, self.count_tokens = encoder.tokenizer_json, encoder.count_tokens
        self.sizes = []
        self.gate, self.reached = threading.Event(), threading.Event()
        self.gate.set()

    def encode(self, texts, *, role):
        self.sizes.append(len(texts))
        self.reached.set()
        assert self.gate.wait(PATIENCE_S)
        if any(self._refuses in text for text in texts):
            raise InvalidInput(f"{texts}", expected="others")
        return self._encoder.encode(texts, role=role)


@pytest.fixture(scope="module")
def plain(tiny_layout):
    return TransformerEncoder(tiny_layout("bert"), FP32)


def until(condition):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.001)


def held(watched, batched, calls, role="query"):
    """Futures of `calls` that all came while one more call, the first, was held at the gate."""
    watched.gate.clear()
    pool = ThreadPoolExecutor(len(calls) + 1)
    first = pool.submit(batched.encode, ["w0"], role=role)
    assert watched.reached.wait(PATIENCE_S)
    found = [pool.submit(batched.encode, texts, role=role) for texts in calls]
    until(lambda: batched.load.calls == len(calls) or any(f.done() for f in found))
    pool.shutdown(wait=False)
    return first, found


def test_it_keeps_every_promise(plain):
    texts = ["w1 w2 w3", "w4", "w5 w6 w7 w8 w9 w10 w11 w12", "w13 w14"]
    check_encoder(BatchedEncoder(plain), texts=texts, tolerance=1e-5)


def test_calls_that_come_meanwhile_run_as_one(plain):
    watched = Watched(plain)
    batched = BatchedEncoder(watched)
    calls = [[f"w{n}", f"w{n} w{n + 1}"] for n in range(1, 9)]
    first, found = held(watched, batched, calls)
    watched.gate.set()
    assert len(first.result(PATIENCE_S)) == 1
    for texts, future in zip(calls, found, strict=True):
        wanted = plain.encode(texts, role="query").data
        np.testing.assert_allclose(future.result(PATIENCE_S).data, wanted, atol=1e-5)
    assert watched.sizes == [1, 16]


def test_a_batch_takes_no_more_than_its_size(plain):
    watched = Watched(plain)
    batched = BatchedEncoder(watched, max_batch=4)
    _, found = held(watched, batched, [["w1", "w2"], ["w3", "w4", "w5"], ["w6"], ["w7"]])
    watched.gate.set()
    assert [len(future.result(PATIENCE_S)) for future in found] == [2, 3, 1, 1]
    assert max(watched.sizes) == 4
    assert sum(watched.sizes) == 8


def test_a_large_call_does_not_stand_in_the_queue(plain):
    watched = Watched(plain)
    batched = BatchedEncoder(watched, max_batch=4)
    with ThreadPoolExecutor(2) as pool:
        watched.gate.clear()
        large = pool.submit(batched.encode, ["w1"] * 5, role="document")
        assert watched.reached.wait(PATIENCE_S)
        small = pool.submit(batched.encode, ["w2"], role="document")
        until(lambda: watched.sizes == [5, 1])  # beside the large one, not after it
        watched.gate.set()
        assert (len(large.result()), len(small.result())) == (5, 1)


def test_an_error_goes_to_the_caller_whose_text_caused_it(plain):
    watched = Watched(plain, refuses="w9")
    _, found = held(watched, BatchedEncoder(watched), [["w1"], ["w9"], ["w2"], ["w9 w9"], ["w3"]])
    watched.gate.set()
    raised = [future.exception(PATIENCE_S) for future in found]
    assert [type(error) for error in raised] == [type(None), InvalidInput] * 2 + [type(None)]
    assert ["w9" in str(error) for error in raised if error] == [True, True]
    assert "w9 w9" in str(raised[3])
    assert "w9 w9" not in str(raised[1])


def test_wrong_input_among_waiting_calls_is_refused_to_its_caller(plain):
    watched = Watched(plain)
    first, (wrong, right) = held(watched, BatchedEncoder(watched), [[None], ["w1"]])
    with pytest.raises(InvalidInput, match=r"texts\[0\] is of type NoneType"):
        wrong.result(PATIENCE_S)
    watched.gate.set()
    assert len(first.result(PATIENCE_S)) == len(right.result(PATIENCE_S)) == 1


def test_over_long_texts_warn_their_own_caller(plain):
    watched = Watched(plain)
    batched = BatchedEncoder(watched)
    long = " ".join(["w1"] * 200)
    with ThreadPoolExecutor(1) as pool, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        watched.gate.clear()
        busy = pool.submit(batched.encode, ["w0"], role="query")
        assert watched.reached.wait(PATIENCE_S)
        threading.Timer(0.05, watched.gate.set).start()
        batched.encode([long, "w2"], role="query")
        busy.result(PATIENCE_S)
    assert watched.sizes == [1, 2]
    assert [w.category for w in caught] == [TruncatedText]
    assert "1 of 2 texts" in str(caught[0].message)


@pytest.mark.parametrize("max_wait_s", [0.0, 0.001])
def test_sixteen_threads_get_what_they_would_get_alone(plain, max_wait_s):
    watched = Watched(plain, refuses="w31")
    batched = BatchedEncoder(watched, max_wait_s=max_wait_s, max_batch=12)
    texts = [f"w{a} w{b}" for a in range(8) for b in range(8)]
    alone = dict(zip(texts, plain.encode(texts, role="query").data, strict=True))
    failures = []

    def caller(seed):
        rng = random.Random(seed)
        for _ in range(25):
            asked = rng.choices(texts, k=rng.randint(0, 5))
            role = rng.choice(["query", "document"])
            if rng.random() < 0.1:
                with pytest.raises(InvalidInput):
                    batched.encode([*asked, "w31"], role=role)
            rows = batched.encode(asked, role=role).data
            failures.extend(t for t, row in zip(asked, rows, strict=True) if abs(row - alone[t]).max() > 1e-5)

    threads = [threading.Thread(target=caller, args=(seed,), daemon=True) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not any(thread.is_alive() for thread in threads), "a caller waits for ever"
    assert failures == []
    assert max(watched.sizes) > 5, "nothing was batched"
    assert (batched._queue._leading, batched.load.calls) == (0, 0)


@pytest.mark.parametrize("stands", ["leading", "waiting"])
def test_an_interrupted_caller_leaves_nobody_waiting(plain, stands):
    watched = Watched(plain)
    batched = BatchedEncoder(watched)
    with ThreadPoolExecutor(3) as pool:
        watched.gate.clear()
        others = []

        def interrupt():
            if stands == "leading":
                watched.reached.wait(PATIENCE_S)
                others.extend(pool.submit(batched.encode, [f"w{n}"], role="query") for n in (1, 2))
                until(lambda: batched.load.calls == 2)
            else:
                until(lambda: batched.load.calls == 1)
            _thread.interrupt_main()
            time.sleep(0.05)
            watched.gate.set()

        if stands == "waiting":
            others.append(pool.submit(batched.encode, ["w3"], role="query"))
            assert watched.reached.wait(PATIENCE_S)
        pool.submit(interrupt)
        with pytest.raises(KeyboardInterrupt):
            batched.encode(["w5"], role="query")
        assert all(len(other.result(PATIENCE_S)) == 1 for other in others)
    assert (batched._queue._leading, batched.load.calls) == (0, 0)
    assert len(batched.encode(["w6"], role="query")) == 1


def test_followers_of_an_interrupted_leader_are_encoded_after_all(plain):
    class Interrupted(Watched):
        def encode(self, texts, *, role):
            found = super().encode(texts, role=role)
            if len(texts) > 1 and not self.interrupted:
                self.interrupted = True
                raise KeyboardInterrupt
            return found

    watched = Interrupted(plain)
    watched.interrupted = False
    first, found = held(watched, BatchedEncoder(watched), [["w1"], ["w2"], ["w3"]])
    watched.gate.set()
    assert len(first.result(PATIENCE_S)) == 1
    outcomes = [type(future.exception(PATIENCE_S)) for future in found]
    assert sorted(outcomes, key=str) == [KeyboardInterrupt, type(None), type(None)]


def test_settings_out_of_range_are_refused(plain):
    with pytest.raises(InvalidInput, match=r"max_wait_s = -1"):
        BatchedEncoder(plain, max_wait_s=-1)
    with pytest.raises(InvalidInput, match=r"max_batch = 0"):
        BatchedEncoder(plain, max_batch=0)


def test_as_many_lead_at_once_as_the_encoder_has_lanes(plain):
    watched = Watched(plain)
    watched.lanes = 2
    batched = BatchedEncoder(watched)
    watched.gate.clear()
    with ThreadPoolExecutor(5) as pool:
        first = [pool.submit(batched.encode, [f"w{n}"], role="query") for n in range(2)]
        until(lambda: len(watched.sizes) == 2)  # both are at the gate
        later = [pool.submit(batched.encode, [f"w{n}"], role="query") for n in range(2, 5)]
        until(lambda: batched.load.calls == 3)
        watched.gate.set()
        vectors = [call.result(PATIENCE_S).data[0] for call in (*first, *later)]
    assert np.allclose(vectors, plain.encode([f"w{n}" for n in range(5)], role="query").data, atol=1e-6)
    assert sum(watched.sizes) == 5
    assert (batched._queue._leading, batched.load.calls) == (0, 0)
