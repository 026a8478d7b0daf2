"""MPNet's bias by relative position: T5's bucketing (Raffel et al. 2019, arXiv:1910.10683, section 2.1)."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Int
from openvino import opset15 as op

from gnomon.encode.graph.pieces import Node, integers, stored
from gnomon.encode.graph.weights import Stored

BUCKETS, FARTHEST = 32, 128


def bucket(relative: Int[np.ndarray, " distances"]) -> Int[np.ndarray, " distances"]:
    """The bucket of each distance (key minus query position): half of the buckets a direction, exact up to 7
    and logarithmic from there to 128.

    >>> bucket(np.array([0, -7, -8, 7, 1000])).tolist()
    [0, 7, 8, 23, 31]
    """
    half = BUCKETS // 2
    exact = half // 2
    distance = np.abs(relative)
    # In float32 as the models were trained: at 16, 32 and 64 a rounding decides the bucket.
    ratio = np.log(np.maximum(distance, 1).astype(np.float32) / np.float32(exact))
    steps = ratio / np.float32(math.log(FARTHEST / exact)) * np.float32(half - exact)
    far = np.minimum(exact + steps.astype(np.int64), half - 1)
    return np.asarray(np.where(relative > 0, half, 0) + np.where(distance < exact, distance, far))


def relative_bias(positions: Node, table: Stored, *, longest: int) -> Node:
    """What is added to attention scores, [1, heads, tokens, tokens], for up to `longest` tokens."""
    buckets = bucket(np.arange(-longest + 1, longest)).astype(np.int32)
    by_distance = op.gather(stored(table), op.constant(buckets), integers(0))
    apart = op.subtract(op.unsqueeze(positions, integers([0])), op.unsqueeze(positions, integers([1])))
    looked_up = op.gather(by_distance, op.add(apart, integers(longest - 1)), integers(0))
    return op.unsqueeze(op.transpose(looked_up, integers([2, 0, 1])), integers([0]))
