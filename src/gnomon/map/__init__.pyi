from .atlas import export_atlas
from .collection_map import ChunkText, CollectionMap, MapState, PlacedQuery, ProjectionState
from .colours import ColourColumn, ColourField
from .columns import colour_bytes, points_bytes
from .fits import PRINCIPAL, UMAP, ClusterLabel, ProjectionName
from .layout import MapPoints

__all__ = [
    "PRINCIPAL",
    "UMAP",
    "ChunkText",
    "ClusterLabel",
    "CollectionMap",
    "ColourColumn",
    "ColourField",
    "MapPoints",
    "MapState",
    "PlacedQuery",
    "ProjectionName",
    "ProjectionState",
    "colour_bytes",
    "export_atlas",
    "points_bytes",
]
