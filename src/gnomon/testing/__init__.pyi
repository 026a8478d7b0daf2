from .conditions import meets
from .encoder import check_encoder, check_scorer
from .guard import check_guard, try_to_mix
from .index import check_index, check_text_index
from .sparse import check_sparse_encoder, check_sparse_index
from .store import check_store, check_store_filters
from .toys import HashEncoder, LateHashEncoder, SparseHashEncoder

__all__ = [
    "HashEncoder",
    "LateHashEncoder",
    "SparseHashEncoder",
    "check_encoder",
    "check_guard",
    "check_index",
    "check_scorer",
    "check_sparse_encoder",
    "check_sparse_index",
    "check_store",
    "check_store_filters",
    "check_text_index",
    "meets",
    "try_to_mix",
]
