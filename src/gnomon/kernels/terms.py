"""Words that tell one class of texts from the others."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def class_tf_idf(counts: Int[np.ndarray, "classes terms"]) -> Float[np.ndarray, "classes terms"]:
    """How much each term stands for each class, from how often the classes have it: class-based TF-IDF.

    tf(t, c) log(1 + A / f(t)): tf is the term's share of the class's words, f its count in all classes, A the mean
    number of words of a class. Grootendorst 2022, "BERTopic: Neural topic modeling with a class-based TF-IDF
    procedure" (arXiv:2203.05794), with tf as a share, as in BERTopic, so that long classes weigh no more than short
    ones.

    >>> class_tf_idf(np.array([[2, 2], [0, 4]])).round(3).tolist()
    [[0.549, 0.255], [0.0, 0.511]]
    """
    words = counts.sum(axis=1, dtype=np.float64)
    of_term = counts.sum(axis=0, dtype=np.float64)
    share = counts / np.maximum(words, 1)[:, None]
    rarity = np.log1p((words.mean() if len(words) else 0.0) / np.maximum(of_term, 1))
    return np.asarray(share * rarity)
