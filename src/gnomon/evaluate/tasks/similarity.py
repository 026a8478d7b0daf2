"""Word similarity: SimLex-999 (Hill, Reichart and Korhonen 2015), WordSim-353 (Finkelstein et al. 2002)."""

from __future__ import annotations

from pathlib import Path

from gnomon.core.contracts import Encoder, Role
from gnomon.evaluate.tasks.report import TaskReport
from gnomon.evaluate.tasks.sts import rank_agreement


def similarity(encoder: Encoder, path: Path, *, role: Role) -> TaskReport:
    """Spearman and Pearson of cosines with people's scores, over the pairs whose words the model knows."""
    return rank_agreement("similarity", encoder, path, role)
