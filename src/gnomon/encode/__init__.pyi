from .batched import BatchedEncoder
from .cards import Card, all_cards, card_for
from .cross_encoder import CrossEncoder
from .dual import DualEncoder
from .hub.cache import SourceSettings
from .hub.locate import Located, locate
from .late_interaction import LateEncoder
from .layout.model import ModelLayout, read_layout
from .load import load_encoder, load_scorer, load_sparse_encoder
from .providers.description import ProviderSettings
from .providers.encoder import ProviderEncoder
from .providers.scorer import ProviderScorer
from .providers.usage import Usage
from .settings import EncoderSettings
from .sparse import SparseEncoder
from .static import StaticEncoder
from .transformer import TransformerEncoder

__all__ = [
    "BatchedEncoder",
    "Card",
    "CrossEncoder",
    "DualEncoder",
    "EncoderSettings",
    "LateEncoder",
    "Located",
    "ModelLayout",
    "ProviderEncoder",
    "ProviderScorer",
    "ProviderSettings",
    "SourceSettings",
    "SparseEncoder",
    "StaticEncoder",
    "TransformerEncoder",
    "Usage",
    "all_cards",
    "card_for",
    "load_encoder",
    "load_scorer",
    "load_sparse_encoder",
    "locate",
    "read_layout",
]
