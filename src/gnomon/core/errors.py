"""All errors and warnings. Every error has a message, what was expected, and a hint."""

from __future__ import annotations


class GnomonError(Exception):
    """The base of every error that gnomon raises on purpose.

    `message` says what was found, `expected` what would have been right, `hint` what to do about it.
    """

    def __init__(self, message: str, *, expected: str = "", hint: str = "") -> None:
        self.message, self.expected, self.hint = message, expected, hint
        super().__init__(message, expected, hint)

    def __str__(self) -> str:
        parts = [self.message]
        if self.expected:
            parts.append(f"Expected: {self.expected}")
        if self.hint:
            parts.append(f"Hint: {self.hint}")
        return "\n".join(parts)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.expected, self.hint)


def _rebuild(kind: type[GnomonError], message: str, expected: str, hint: str) -> GnomonError:  # noqa: PLR0917 - pickle
    return kind(message, expected=expected, hint=hint)


class InvalidInput(GnomonError, ValueError):
    """An argument is not of the form that the function takes."""


def missing_extra(package: str, *, extra: str) -> InvalidInput:
    """The error for a package that is not installed because its extra was left out."""
    return InvalidInput(
        f"{package} is not installed",
        expected=f"the extra gnomon[{extra}]",
        hint=f"pip install 'gnomon[{extra}]'",
    )


class SpaceMismatch(GnomonError):
    """Vectors of different spaces were combined, or an encoder no longer makes the vectors of its space."""


class InvalidVectors(InvalidInput):
    """Vectors that no space can hold: NaN or infinite values, zero vectors, wrong dimensions."""


class ModelNotFound(GnomonError):
    """No source has the model."""


class ModelUnsupported(GnomonError):
    """The model's files are there, but gnomon has no graph, pooling or module for them."""


class MissingPrompt(GnomonError):
    """The model was trained with a prompt for this role, and none is known."""


class WeightsMismatch(GnomonError):
    """Weights whose digest differs from the known one."""


class UnreadableFile(GnomonError):
    """A file that no reader can turn into documents."""


class NothingIndexed(GnomonError):
    """An index run ended without one document in the collection from the given paths."""


class CollectionNotFound(GnomonError):
    """There is no collection at the path."""


class CollectionDamaged(GnomonError):
    """The catalog, the one part that cannot be rebuilt, is corrupt or truncated."""


class CollectionTooNew(GnomonError):
    """The catalog was written by a newer gnomon."""


class CollectionBusy(GnomonError):
    """Another writer held the collection for longer than the time limit."""


class ForkedProcess(GnomonError):
    """A process was forked after its parent had started threads that the child does not have."""


class StorageError(GnomonError, OSError):
    """The disk is full, read-only or not permitted."""

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.expected, self.hint)


class ServerUnreachable(GnomonError):
    """A database or a vector engine does not answer, or refuses the connection."""


class StoreChanged(GnomonError):
    """The collection in a vector engine is gone, or is not the one that was made there: someone else changed it."""


class IndexDamaged(GnomonError):
    """A derived index file is missing, corrupt or of another space. The collection rebuilds it."""


class CostLimitReached(GnomonError):
    """What is to be sent to a server would cost more than was allowed."""


class GenerationFailed(GnomonError):
    """A language model's endpoint is down, refuses, times out, sends no valid reply or breaks off."""


class PromptTooLong(GenerationFailed):
    """A prompt that is longer than what the language model reads."""


class ReplyTooLong(GenerationFailed):
    """A reply that used up the tokens it was allowed before it came to its end."""


class ProviderFailed(GnomonError):
    """A model provider's server is down, refuses, asks for money, times out, or sends no valid vectors or scores."""


class TruncatedText(UserWarning):
    """Texts longer than the encoder reads: what lies beyond is not in their vectors."""


class UnknownText(UserWarning):
    """Texts without one token that the model knows: their vector is near no other."""


class SkippedRows(UserWarning):
    """Rows of a file that could not be used and were left out; the others are there."""


class UnusedColumns(UserWarning):
    """Fields of training rows that another trainer would heed and that are not used here."""


class UnfitTeacher(UserWarning):
    """A teacher that hardly tells answers from other passages, or was not made for the documents' language."""


class LowRecall(UserWarning):
    """An approximate index that lost too many true neighbours was replaced by an exact one."""


class WordsOnly(UserWarning):
    """A search by words alone, as the model's server gave no vector for the query."""


class LaggingStore(UserWarning):
    """A vector engine does not hold the latest passages yet: they are found by their words only."""


class DamagedPassages(UserWarning):
    """Passages that a search leaves out because what is stored of them is damaged."""


class DamagedCatalog(UserWarning):
    """SQLite's check finds faults in the catalog: what can be read is, and some of it may be missing or wrong."""


class LostChanges(UserWarning):
    """The catalog is older than its indexes: a copy was put back, or its write-ahead log was lost or damaged."""
