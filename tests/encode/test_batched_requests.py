"""Calls without a thread: spread over batches within a token budget, fair to others, cancelled without a trace."""

import threading
import time
from concurrent.futures import wait

import numpy as np
import pytest

from gnomon.core.errors import InvalidInput, TruncatedText
from gnomon.encode.batched import BatchedEncoder
from gnomon.encode.settings import EncoderSettings
from gnomon.encode.transformer import TransformerEncoder

PATIENCE_S = 20


class Held:
    """An encoder that waits at a gate, and keeps the texts of each of its batches."""

    def __init__(self, encoder, *, takes_tokens=True, lanes=1):
        self._encoder, self.lanes = encoder, lanes
        self.space, self.max_tokens = encoder.space, encoder.max_tokens
        self.tokenizer_json, self.count_tokens = encoder.tokenizer_json, encoder.count_tokens
        self.batches = []
        self.gate, self.reached = threading.Event(), threading.Event()
        self.gate.set()
        if takes_tokens:
            self.tokenise = encoder.tokenise
            self.encode_tokens = self._encode_tokens

    def encode(self, texts, *, role):
        self._note(len(texts))
        return self._encoder.encode(texts, role=role)

    def _encode_tokens(self, tokenised, *, role):
        self._note(len(tokenised.ids))
        return self._encoder.encode_tokens(tokenised, role=role)

    def _note(self, count):
        self.batches.append(count)
        self.reached.set()
        assert self.gate.wait(PATIENCE_S)


@pytest.fixture(scope="module")
def plain(tiny_layout):
    return TransformerEncoder(tiny_layout("bert"), EncoderSettings(threads=1, precision="fp32"))


@pytest.fixture
def batched_of():
    made = []

    def build(held, **limits):
        made.append(BatchedEncoder(held, **limits))
        return made[-1]

    yield build
    for one in made:
        one.close()


def submit(batched, texts, role="query"):
    return batched.submit(batched.count(texts, role=role))


def hold(held, batched):
    """One call that is being encoded until the gate opens."""
    held.gate.clear()
    first = submit(batched, ["w0"])
    assert held.reached.wait(PATIENCE_S)
    return first


@pytest.mark.parametrize("takes_tokens", [True, False])
@pytest.mark.parametrize("lanes", [1, 2])
def test_a_large_call_is_spread_over_batches_and_keeps_its_order(plain, batched_of, takes_tokens, lanes):
    held = Held(plain, takes_tokens=takes_tokens, lanes=lanes)
    texts = [" ".join(["w1", f"w{n}"] * (1 + n % 5)) for n in range(40)]
    found = submit(batched_of(held, batch_tokens=48, max_batch=8), texts).result(PATIENCE_S)
    np.testing.assert_allclose(found.data, plain.encode(texts, role="query").data, atol=1e-5)
    assert max(held.batches) <= 8
    assert len(held.batches) > 5


def test_calls_that_wait_share_a_batch_of_the_budget(plain, batched_of):
    held = Held(plain)
    reports = []
    batched = batched_of(held, batch_tokens=24, observe=reports.append)
    first = hold(held, batched)
    others = [submit(batched, [f"w{n} w2"]) for n in range(12)]  # 4 tokens each, special tokens included
    assert (batched.load.calls, batched.load.texts, batched.load.tokens) == (12, 12, 48)
    held.gate.set()
    wait([first, *others], PATIENCE_S)
    assert held.batches == [1, 6, 6]
    np.testing.assert_allclose(others[7].result().data, plain.encode(["w7 w2"], role="query").data, atol=1e-5)
    assert [(one.calls, one.texts, one.tokens) for one in reports[:2]] == [(1, 1, 3), (6, 6, 24)]
    assert reports[1].waited_s > 0


def test_texts_of_like_length_are_encoded_together(plain, batched_of):
    held = Held(plain)
    batched = batched_of(held, batch_tokens=40)
    hold(held, batched)
    long, short = "w1 w2 w3 w4 w5 w6 w7 w8", "w1 w2"
    calls = [submit(batched, [text]) for text in (long, short, short, long, long, short, long)]
    held.gate.set()
    wait(calls, PATIENCE_S)
    assert held.batches == [1, 4, 3]  # the long ones fill 4 x 10 tokens, whichever came between


def test_a_single_text_does_not_wait_for_a_large_call(plain, batched_of):
    held = Held(plain)
    batched = batched_of(held, max_batch=4)
    hold(held, batched)
    ended = []
    large, small = submit(batched, ["w1 w2"] * 40), submit(batched, ["w3"])
    large.add_done_callback(lambda _: ended.append(("large", len(held.batches))))
    small.add_done_callback(lambda _: ended.append(("small", len(held.batches))))
    held.gate.set()
    wait([large, small], PATIENCE_S)
    assert ended == [("small", 3), ("large", 12)]  # after one batch of the large one


def test_a_cancelled_call_gives_up_its_place(plain, batched_of):
    held = Held(plain)
    batched = batched_of(held, max_calls=1)
    hold(held, batched)
    gone, kept = submit(batched, ["w1"] * 3), submit(batched, ["w2"])
    assert gone.cancel()
    assert batched.load.calls == 1
    held.gate.set()
    assert len(kept.result(PATIENCE_S)) == 1
    assert held.batches == [1, 1]


def test_a_large_call_that_is_cancelled_half_way_ends_there(plain, batched_of):
    held = Held(plain)
    batched = batched_of(held, max_batch=2)
    held.gate.clear()
    large = submit(batched, ["w1"] * 20)
    assert held.reached.wait(PATIENCE_S)
    assert large.cancel()
    held.gate.set()
    assert len(submit(batched, ["w2"]).result(PATIENCE_S)) == 1
    assert held.batches == [2, 1]


def test_an_error_reaches_its_own_call(plain, batched_of):
    class Refusing(Held):
        def encode(self, texts, *, role):
            if any("w9" in text for text in texts):
                raise InvalidInput("w9", expected="others")
            return super().encode(texts, role=role)

    held = Refusing(plain, takes_tokens=False)
    batched = batched_of(held)
    hold(held, batched)
    good, bad = submit(batched, ["w1"]), submit(batched, ["w9"])
    held.gate.set()
    with pytest.raises(InvalidInput, match="w9"):
        bad.result(PATIENCE_S)
    assert len(good.result(PATIENCE_S)) == 1
    assert batched.load.calls == 0


def test_after_a_shared_batch_the_next_one_waits_to_be_filled(plain, batched_of):
    held = Held(plain)
    batched = batched_of(held, max_batch=3, max_wait_s=PATIENCE_S)
    hold(held, batched)
    shared = [submit(batched, [f"w{n}"]) for n in (1, 2)]
    held.gate.set()
    wait(shared, PATIENCE_S)
    calls = [submit(batched, ["w3"])]
    time.sleep(0.02)
    assert held.batches == [1, 2]  # it waits for two more
    calls += [submit(batched, [f"w{n}"]) for n in (4, 5)]
    wait(calls, PATIENCE_S)
    assert held.batches == [1, 2, 3]


def test_over_long_texts_are_truncated_and_counted(plain, batched_of):
    batched = batched_of(Held(plain))
    counted = batched.count(["w1 " * 200, ""], role="document")
    assert counted.counts[0] == 202
    found = batched.submit(counted).result(PATIENCE_S)
    with pytest.warns(TruncatedText):
        wanted = plain.encode(["w1 " * 200, ""], role="document")
    np.testing.assert_allclose(found.data, wanted.data, atol=1e-5)
    assert len(submit(batched, []).result()) == 0
