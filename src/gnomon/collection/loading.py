"""Loading a model so that it makes a space's vectors: its dimensions, their type, the model's precision."""

from __future__ import annotations

from dataclasses import dataclass

from gnomon.core.contracts import Encoder
from gnomon.core.progress import ProgressCallback
from gnomon.core.space import Precision, Space
from gnomon.core.vector_types import VectorType
from gnomon.encode.settings import RuntimePrecision


@dataclass(frozen=True)
class VectorForm:
    """Which of a model's vectors are kept: the dimensions (None: all), their type, and the model's precision."""

    dim: int | None = None
    vector_type: VectorType = "float32"
    precision: Precision = "float"

    @classmethod
    def of(cls, space: Space) -> VectorForm:
        """That of a space."""
        return cls(None if space.parent is None else space.dim, space.vector_type, space.precision)


def load_in_form(name: str, form: VectorForm, *, threads: int | None, progress: ProgressCallback) -> Encoder:
    """The model, with its vectors in this form."""
    from gnomon.encode import EncoderSettings, load_encoder
    from gnomon.encode.providers.names import provider_reference
    from gnomon.encode.stored import stored_as

    precision: RuntimePrecision = "int8" if form.precision == "int8" else "auto"
    # A provider's model needs no processor: its threads are the requests that are on their way at once.
    threads = threads if provider_reference(name) is None else None
    settings = EncoderSettings(threads=threads, precision=precision, dim=form.dim)
    return stored_as(load_encoder(name, settings=settings, progress=progress), form.vector_type)
