"""Documents as they are handed over: values, texts or mappings."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gnomon.core.documents import Document
from gnomon.core.errors import InvalidInput
from gnomon.text.read import plain_metadata


def as_document(item: Document | str | Mapping[str, Any]) -> Document:
    """The document that a value, a text (its id is its digest) or a mapping stands for.

    Raises InvalidInput for a mapping without text or with unknown fields.
    """
    if isinstance(item, Document):
        return replace(item, metadata=plain_metadata(item.metadata))
    plain: Mapping[str, Any] = {"text": item} if isinstance(item, str) else item
    unknown = set(plain) - {"id", "text", "title", "metadata", "source", "media_type"}
    if unknown or not isinstance(plain.get("text"), str):
        raise InvalidInput(
            f"a document with fields {sorted(map(str, plain))}",
            wanted="text (a string), and maybe id, title, metadata, source, media_type",
            next_step='for example {"id": "a", "text": "…", "metadata": {"year": 2026}}',
        )
    digest = hashlib.sha256(plain["text"].encode("utf-8", "replace")).hexdigest()[:16]
    return Document(**{"id": digest, **plain, "metadata": plain_metadata(plain.get("metadata") or {})})
