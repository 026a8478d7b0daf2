from .encoder import check_encoder, check_scorer
from .guard import check_guard, try_to_mix
from .index import check_index, check_text_index
from .toys import HashEncoder, LateHashEncoder

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
