"""What embedding costs: tokens counted one by one, time measured on a sample, on this machine."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gnomon.core.contracts import Encoder
from gnomon.core.errors import InvalidInput, TruncatedText

SAMPLE = 512
"""Texts encoded to measure the speed, at most."""
_SECONDS = 20.0
_SLICE = 64


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a sample was encoded: `texts` and `tokens` in `seconds`."""

    texts: int
    tokens: int
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Tokens encoded in a second; 0 where nothing was measured."""
        return self.tokens / self.seconds if self.seconds else 0.0

    def seconds_for(self, tokens: int) -> float:
        """How long so many tokens take, were they of texts like the sample's."""
        return tokens / self.tokens_per_second if tokens and self.seconds else 0.0


def measure_speed(
    encoder: Encoder,
    texts: Sequence[str],
    *,
    sample: int = SAMPLE,
    most_s: float = _SECONDS,
    slice_texts: int = _SLICE,
    seed: int = 0,
) -> Speed:
    """Encode texts drawn at random until `sample` of them or `most_s` seconds are through.

    `slice_texts` at once, as the build will: a smaller slice can be sorted by length less well.

    The first slice is encoded twice and its first time left out: what compiling takes is paid once, not by
    every text. Raises InvalidInput for a sample below 1.
    """
    if sample < 1:
        raise InvalidInput(f"a sample of {sample} texts", wanted="at least 1")
    if not texts:
        return Speed(0, 0, 0.0)
    rows = np.random.default_rng(seed).permutation(len(texts))[:sample]
    drawn = [texts[row] for row in rows]
    done = tokens = 0
    seconds = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncatedText)  # the plan says how many are too long
        encoder.encode(drawn[:slice_texts], role="document")
        while done < len(drawn) and seconds < most_s:
            part = drawn[done : done + slice_texts]
            started = time.perf_counter()
            encoder.encode(part, role="document")
            seconds += time.perf_counter() - started
            tokens += sum(encoder.count_tokens(part, role="document"))
            done += len(part)
    return Speed(done, tokens, seconds)
