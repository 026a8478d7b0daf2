"""Several systems against one baseline on the same queries: p-values and intervals that hold for all together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from gnomon.core.errors import InvalidInput
from gnomon.evaluate.significance import SEED

FLIPS = 10_000
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Comparisons:
    """For each column its mean, its standard error, a two-sided p-value, a one-sided one (`p_greater`, that the mean is
    not above 0) and an interval; the last three are corrected for all columns that were looked at. A column of nothing
    but zeros has the p-values 1.
    """

    means: Float[np.ndarray, " columns"]
    errors: Float[np.ndarray, " columns"]
    p_values: Float[np.ndarray, " columns"]
    p_greater: Float[np.ndarray, " columns"]
    lows: Float[np.ndarray, " columns"]
    highs: Float[np.ndarray, " columns"]


def max_t(differences: Float[np.ndarray, "queries columns"], *, alpha: float = 0.05, flips: int = FLIPS) -> Comparisons:
    """Compare paired differences (candidate minus baseline, a column a candidate) by the greatest t of all columns.

    Were a candidate the same as the baseline, the sign of each query's differences could be flipped without anyone
    noticing. Signs are flipped for all columns of a query at once, so that candidates that are much alike count
    little more than one (Westfall and Young 1993, "Resampling-based multiple testing", single-step max-T). An
    interval is mean plus and minus the (1 - alpha) quantile of the greatest |t| times the standard error.
    Raises InvalidInput for fewer than 2 queries.
    """
    n, width = differences.shape
    if n < 2:
        raise InvalidInput(f"{n} queries to compare on", expected="2 or more")
    moved = np.asarray(differences, dtype=np.float64)
    means, squares = moved.mean(axis=0), (moved**2).mean(axis=0)
    errors = _errors(means, squares, n)
    greatest, highest = np.zeros(flips), np.zeros(flips)
    draws = np.random.default_rng([SEED, 4])
    step = max(1, 4_000_000 // n)
    for start in range(0, flips, step):
        signs = 2.0 * draws.integers(0, 2, (min(step, flips - start), n)) - 1.0
        flipped = signs @ moved / n
        t = _t(flipped, _errors(flipped, squares, n))
        greatest[start : start + len(signs)] = np.abs(t).max(axis=1, initial=0.0)
        highest[start : start + len(signs)] = t.max(axis=1, initial=0.0)
    own = _t(means, errors)
    p_values = _as_far(greatest, np.abs(own))
    reach = np.quantile(greatest, 1 - alpha) * errors if width else errors
    return Comparisons(means, errors, p_values, _as_far(highest, own), means - reach, means + reach)


def _as_far(drawn: Float[np.ndarray, " flips"], own: Float[np.ndarray, " columns"]) -> Float[np.ndarray, " columns"]:
    """The share of flips that reach as far, never 0; 1 for what does not reach anywhere."""
    p_values = (1 + (drawn[:, None] >= own - _ROUNDING).sum(axis=0)) / (len(drawn) + 1)
    return np.asarray(np.where(own > 0, p_values, 1.0))


def _errors(
    means: Float[np.ndarray, "*rows columns"], squares: Float[np.ndarray, " columns"], n: int
) -> Float[np.ndarray, "*rows columns"]:
    """Standard errors of means: squares stay the same whatever the signs."""
    return np.asarray(np.sqrt(np.maximum(squares - means**2, 0.0) / (n - 1)))


def _t(
    means: Float[np.ndarray, "*rows columns"], errors: Float[np.ndarray, "*rows columns"]
) -> Float[np.ndarray, "*rows columns"]:
    """t; 0 where there is no difference, and very large where all differences are the same."""
    return np.asarray(np.where(np.abs(means) > _ROUNDING, means / np.maximum(errors, _ROUNDING), 0.0))
