"""Ids of documents and passages for tools, and the addresses at which people read them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from gnomon.core.paths import path_of

_SPAN = re.compile(r"#(\d+)-(\d+)$")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class PassageId:
    """A document of a collection, and maybe a span of its text, in characters.

    >>> str(PassageId("kb", "guides/sundial.md", (0, 39)))
    'kb:guides/sundial.md#0-39'
    """

    collection: str
    document: str
    span: tuple[int, int] | None = None

    def __str__(self) -> str:
        """As tools take it."""
        anchor = "" if self.span is None else f"#{self.span[0]}-{self.span[1]}"
        return f"{self.collection}:{self.document}{anchor}"

    def with_span_split_off(self) -> PassageId:
        """The same, where the document's id ends like a span: the span as such."""
        found = _SPAN.search(self.document)
        if found is None:
            return self
        return PassageId(self.collection, self.document[: found.start()], (int(found[1]), int(found[2])))

    def url(self, source: str, page: str | None) -> str:
        """The address in the page at `page`; without one that of the source, "gnomon://…" where it has none.

        >>> PassageId("kb", "a b", (0, 39)).url("", "http://127.0.0.1:8080")
        'http://127.0.0.1:8080/?c=kb&doc=a+b&at=0-39'
        """
        if page is not None:
            at = {} if self.span is None else {"at": f"{self.span[0]}-{self.span[1]}"}
            return f"{page}/?{urlencode({'c': self.collection, 'doc': self.document, **at}, errors='replace')}"
        if _URL.match(source):
            return source
        path = path_of(source)
        return path.as_uri() if path.is_absolute() else f"gnomon://{self.collection}/{quote(self.document)}"
