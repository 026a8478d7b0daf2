"""Answers whose every sentence can be checked against the documents."""

import lazy_loader

from gnomon.core.renamed import renamed

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = renamed(
    __name__,
    _load,
    {
        "Found": "PassagesFound",
        "Piece": "TextDelta",
        "Checked": "SentenceVerified",
        "Done": "AnswerDone",
        "Event": "AnswerEvent",
    },
)
