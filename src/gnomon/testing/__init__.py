"""Public conformance checks for every contract, and toy parts to test with."""

from gnomon.testing.encoder import check_encoder
from gnomon.testing.index import check_index
from gnomon.testing.text_index import check_text_index
from gnomon.testing.toys import HashEncoder

__all__ = ["HashEncoder", "check_encoder", "check_index", "check_text_index"]
