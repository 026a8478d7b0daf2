"""gnomon: the embedding model's whole life in one package."""

from __future__ import annotations

__version__ = "0.1.0"
