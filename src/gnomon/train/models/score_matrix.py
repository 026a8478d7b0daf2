"""The score matrix of queries and documents, in float32 whatever autocast says; higher is nearer."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from gnomon.core.errors import InvalidInput
from gnomon.core.space import Similarity
from gnomon.train.contracts import Reps

# Token similarities held at a time: 256 MB. The backward pass keeps only where each maximum was.
MAXSIM_CELLS = 1 << 26


def score_matrix(queries: Tensor, documents: Tensor, similarity: Similarity) -> Tensor:
    """[queries, dim] and [documents, dim] to [queries, documents]; euclidean is the negative distance.

    Raises InvalidInput for another similarity.
    """
    with torch.autocast(queries.device.type, enabled=False):
        queries, documents = queries.float(), documents.float()
        if similarity == "cosine":
            return functional.normalize(queries, dim=1) @ functional.normalize(documents, dim=1).T
        if similarity == "dot":
            return queries @ documents.T
        if similarity == "euclidean":
            return -torch.cdist(queries, documents)
    raise InvalidInput(f"similarity {similarity!r}", expected="cosine, dot or euclidean")


def maxsim(queries: Reps, documents: Reps, *, cells: int = MAXSIM_CELLS) -> Tensor:
    """[queries, documents]: for each query token its nearest document token, summed over the query's tokens.

    Token vectors are normalised here. Khattab and Zaharia 2020, ColBERT, equation 3 (arXiv:2004.12832).
    `cells` bounds how many token similarities are held at a time.
    """
    with torch.autocast(queries.values.device.type, enabled=False):
        left = functional.normalize(queries.values.float(), dim=2)
        right = functional.normalize(documents.values.float(), dim=2)
        step = max(1, cells // max(1, left.shape[1] * right.shape[0] * right.shape[1]))
        kept = queries.mask
        rows = [
            _maxsim(left[at : at + step], None if kept is None else kept[at : at + step], right, documents.mask)
            for at in range(0, len(left), step)
        ]
    return rows[0] if len(rows) == 1 else torch.cat(rows)


def _maxsim(left: Tensor, kept: Tensor | None, right: Tensor, mask: Tensor | None) -> Tensor:
    near = torch.einsum("qid,kjd->qkij", left, right)
    if mask is not None:
        near = near.masked_fill(~mask[None, :, None, :], -torch.inf)
    best = near.max(3).values
    if kept is not None:
        best = best.masked_fill(~kept[:, None, :], 0.0)
    return best.sum(2)
