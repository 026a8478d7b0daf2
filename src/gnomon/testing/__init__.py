"""Public conformance checks for every contract, and toy parts to test with."""

from gnomon.testing.encoder import check_encoder
from gnomon.testing.guard import check_guard, try_to_mix
from gnomon.testing.index import check_index
from gnomon.testing.scorer import check_scorer
from gnomon.testing.text_index import check_text_index
from gnomon.testing.toys import HashEncoder, LateHashEncoder

__all__ = [
    "HashEncoder",
    "LateHashEncoder",
    "check_encoder",
    "check_guard",
    "check_index",
    "check_scorer",
    "check_text_index",
    "try_to_mix",
]
