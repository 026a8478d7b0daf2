"""Fields of metadata and their types: seen, and changed."""

from __future__ import annotations

import difflib

from gnomon.collection.catalog import fields, queries
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.fields import FieldChange, FieldFacet, FieldInfo
from gnomon.core.conditions import OWN, FieldType
from gnomon.core.errors import InvalidInput
from gnomon.text.field_types import FIELD_TYPES, as_field_type


class FieldRegistry:
    """The metadata fields of one collection, each with the type that its values are compared as.

    A field that is new is of the type that most of its values have: text, number, boolean or date; a list is of its
    items' type. Later values are converted to it where they can be, such as "2021" to 2021 in a field of numbers. Those
    that cannot be stay as they are, and are reported by what wrote them.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._facets: tuple[object, tuple[FieldFacet, ...]] | None = None

    def all(self) -> tuple[FieldInfo, ...]:
        """Every field, in order of name, with counts: looks at every document."""
        with self._catalog.read() as connection:
            return tuple(fields.infos(connection))

    def facets(self, most: int = 20) -> tuple[FieldFacet, ...]:
        """Every field that a document has, in order of name, with its `most` frequent values and its range.

        Looks at every document; kept until one is written.
        """
        with self._catalog.read() as connection:
            at = (most, queries.head(connection), fields.revision(connection))
            if self._facets is None or self._facets[0] != at:
                self._facets = (at, fields.facets(connection, most))
            return self._facets[1]

    def set_type(self, name: str, to: FieldType) -> FieldChange:
        """Declare a field's type ("text", "number", "boolean" or "date"), and convert what is stored of it.

        Nothing is embedded or indexed anew. Values that cannot be converted stay as they are, and are counted. A field
        may be declared before any document has it. Raises InvalidInput for a document's own field and another type.
        """
        if not isinstance(name, str) or not name.strip() or name in OWN:
            raise InvalidInput(
                f"the field {name!r}", expected=f"a metadata field's name; {', '.join(OWN)} are always texts"
            )
        wanted = as_field_type(to)
        if wanted is None:
            near = difflib.get_close_matches(str(to), FIELD_TYPES, n=1)
            raise InvalidInput(
                f"a field of type {to!r}",
                expected=f"one of {', '.join(FIELD_TYPES)}",
                hint=f"did you mean {near[0]}?" if near else "",
            )
        with self._catalog.write() as connection:
            return fields.set_type(connection, name, wanted)
