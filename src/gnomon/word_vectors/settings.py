"""Settings of training word vectors, with published defaults for each method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from gnomon.core.errors import InvalidInput
from gnomon.core.serialize import to_plain

Method = Literal["word2vec", "cbow", "fasttext", "glove"]

# Published settings, and nothing tuned here. CBOW: the word2vec tool's own demo on text8. Skip-gram: the same
# window and sampling, with the tool's 5 negatives. FastText: Bojanowski et al. 2017 (arXiv:1607.04606).
# GloVe: Pennington et al. 2014, section 4.2, for fewer than 300 dimensions.
_PUBLISHED: Mapping[Method, Mapping[str, float]] = {
    "word2vec": {"window": 8, "negative": 5, "sample": 1e-4, "learning_rate": 0.025, "epochs": 5},
    "cbow": {"window": 8, "negative": 25, "sample": 1e-4, "learning_rate": 0.05, "epochs": 5},
    "fasttext": {"window": 5, "negative": 5, "sample": 1e-4, "learning_rate": 0.05, "epochs": 5},
    "glove": {"window": 10, "negative": 0, "sample": 0.0, "learning_rate": 0.05, "epochs": 50},
}


@dataclass(frozen=True)
class SubwordSettings:
    """Character n-grams from `shortest` to `longest`, hashed into `buckets` rows.

    fastText takes 2,000,000 buckets; at 200 dimensions these are 1.6 GB.
    Raises InvalidInput for values out of range.
    """

    shortest: int = 3
    longest: int = 6
    buckets: int = 500_000

    def __post_init__(self) -> None:
        if not 1 <= self.shortest <= self.longest:
            raise InvalidInput(
                f"n-grams of {self.shortest} to {self.longest} characters",
                expected="1 <= shortest <= longest",
            )
        if not 1 <= self.buckets < 2**31:
            raise InvalidInput(f"{self.buckets} buckets", expected="1 to 2,147,483,647 buckets")


@dataclass(frozen=True)
class GloveSettings:
    """The weighting of co-occurrences: full weight from `x_max` on, below it (count / x_max) ** alpha.

    Raises InvalidInput for values out of range.
    """

    x_max: float = 100.0
    alpha: float = 0.75

    def __post_init__(self) -> None:
        for name in ("x_max", "alpha"):
            if not getattr(self, name) > 0:
                raise InvalidInput(f"{name} = {getattr(self, name)}", expected=f"{name} above 0")


@dataclass(frozen=True)
class WordSettings:
    """Settings of one training run; `settings_for` fills in what is published for a method.

    `min_count` leaves out rarer words. `window` is the most words looked at on each side; `negative` how many
    words are drawn against each true one; `sample` the share above which words are left out now and then
    (0: never). `remove_common` takes out the mean and so many directions that all vectors share, which helps
    GloVe's most (Mu and Viswanath 2018 advise dim / 100; 0: nothing). With `workers` above 1 the order of
    updates, and so the result, differs from run to run.
    Raises InvalidInput for values out of range.
    """

    method: Method
    window: int
    negative: int
    sample: float
    learning_rate: float
    epochs: int
    dim: int = 200
    min_count: int = 5
    lowercase: bool = True
    seed: int = 1
    workers: int = 1
    remove_common: int = 0
    subwords: SubwordSettings = SubwordSettings()
    glove: GloveSettings = GloveSettings()

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise InvalidInput(f"method {self.method!r}", expected=f"one of {', '.join(get_args(Method))}")
        for name in ("window", "epochs", "dim", "min_count", "workers"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} = {getattr(self, name)}", expected=f"{name} of at least 1")
        if self.method != "glove" and self.negative < 1:
            raise InvalidInput(f"negative = {self.negative}", expected="at least 1 word drawn against each")
        if not 0 <= self.sample < 1:
            raise InvalidInput(f"sample = {self.sample}", expected="0, or a share such as 0.0001")
        if not self.learning_rate > 0:
            raise InvalidInput(f"learning_rate = {self.learning_rate}", expected="a number above 0")
        if not 0 <= self.remove_common < self.dim or (self.remove_common and self.method == "fasttext"):
            raise InvalidInput(
                f"remove_common = {self.remove_common} with {self.method}",
                expected="0 to dim - 1; 0 with fasttext, whose n-grams make vectors of the other kind",
            )
        if not 0 <= self.seed < 2**32:
            raise InvalidInput(f"seed = {self.seed}", expected="0 to 4,294,967,295")

    def to_json(self) -> dict[str, Any]:
        """A plain mapping, for the record beside the vectors."""
        plain: dict[str, Any] = to_plain(self)
        if not self.remove_common:
            plain.pop("remove_common")  # records from before there was any say the same
        if self.method != "fasttext":
            plain.pop("subwords")
        if self.method != "glove":
            plain.pop("glove")
        return plain


def settings_for(method: Method, **changes: Any) -> WordSettings:
    """The settings published for a method, with `changes`; a change that is None changes nothing.

    Raises InvalidInput for an unknown method or setting and for values out of range.
    """
    if method not in get_args(Method):
        raise InvalidInput(
            f"method {method!r}",
            expected=f"one of {', '.join(get_args(Method))}",
            hint="word2vec is the usual choice; fasttext also gives vectors for words it never saw",
        )
    unknown = sorted(set(changes) - set(WordSettings.__dataclass_fields__))
    if unknown:
        raise InvalidInput(
            f"the setting {unknown[0]!r}", expected=f"one of {', '.join(WordSettings.__dataclass_fields__)}"
        )
    given = {name: value for name, value in changes.items() if value is not None}
    return WordSettings(**{"method": method, **_PUBLISHED[method], **given})
