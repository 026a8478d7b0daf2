"""What loads and checks the encoder of any version of a collection."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gnomon.collection import model as models
from gnomon.collection.catalog import Catalog
from gnomon.collection.version import Version
from gnomon.core.contracts import Encoder
from gnomon.core.space import Space

Load = Callable[[str, Space], Encoder]


class Models:
    """Encoders that were handed in stand for those of their space; any other is loaded by its name."""

    def __init__(self, catalog: Catalog, load: Load, given: Sequence[Encoder] = ()) -> None:
        self._catalog, self._load = catalog, load
        self._given = {encoder.space.fingerprint: encoder for encoder in given}

    def give(self, encoder: Encoder) -> None:
        """Let an encoder stand for those of its space."""
        self._given.setdefault(encoder.space.fingerprint, encoder)

    def is_given(self, version: Version) -> bool:
        """Whether a version's encoder was handed in, so that none has to be loaded."""
        return version.space.fingerprint in self._given

    def unchecked(self, version: Version) -> Encoder:
        """A version's encoder, or what lies at its place by now: a look at one that fails its canaries."""
        return self._given.get(version.space.fingerprint) or self._load(version.model, version.space)

    def opener(self, version: Version) -> Callable[[], Encoder]:
        """What opens a version's encoder and holds it to the canaries. It raises SpaceMismatch."""

        def check(encoder: Encoder) -> None:
            with self._catalog.read() as connection:
                models.check_canaries(connection, version.space_id, encoder)

        return lambda: models.open_encoder(
            version.space, version.model, lambda _: self.unchecked(version), check
        )
