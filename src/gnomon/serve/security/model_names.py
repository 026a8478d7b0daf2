"""Which models a request may name: names that are known here, never a folder or an address."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gnomon.collection import Collection
from gnomon.core.errors import InvalidInput
from gnomon.core.files import exists
from gnomon.encode.cards import card_for
from gnomon.migrate import Change
from gnomon.serve.redaction import public_name


def known_models(kb: Collection, served: Iterable[str]) -> dict[str, str]:
    """What models are loaded from by the names that answers have for them: those of versions, and those served."""
    references: dict[str, str] = {}
    own = [(info.model, *(one["model"] for one in info.retrieval.get("spaces", ()))) for info in kb.versions.list()]
    for model in (*served, *(model for models in own for model in models)):
        references.setdefault(public_name(model), model)
    return references


def with_known_models(change: Change, known: Mapping[str, str]) -> Change:
    """The change with what its models are loaded from; `known` are those that need no card.

    Raises InvalidInput for a model that is neither known nor has a card (`gnomon models`): a name that may be a folder
    of the server, or the address of some server, is never tried.
    """
    to = None if change.to is None else _reference(change.to, known)
    retrieval = None if change.retrieval is None else _settings(change.retrieval, known)
    added, removed = (tuple(_reference(n, known) for n in each) for each in (change.add_models, change.remove_models))
    return replace(change, to=to, retrieval=retrieval, add_models=added, remove_models=removed)


def _settings(given: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, Any]:
    """Search settings such as {"rerank.model": …}, {"rerank": {"model": …}} or {"spaces": [{"model": …}]}."""
    found: dict[str, Any] = {}
    for key, value in given.items():
        if isinstance(value, Mapping):
            found[key] = _settings(value, known)
        elif key == "spaces" and isinstance(value, list | tuple):
            found[key] = [
                _settings(one, known) if isinstance(one, Mapping) else _reference(str(one), known) for one in value
            ]
        elif (key == "spaces" or key.rpartition(".")[2] == "model") and isinstance(value, str):
            found[key] = _reference(value, known)
        else:
            found[key] = value
    return found


def _reference(name: str, known: Mapping[str, str]) -> str:
    if name in known:
        return known[name]
    if card_for(name) is not None and not exists(Path(name).expanduser()):
        return name
    raise InvalidInput(
        f"the model {name[:100]!r} is not known to this server",
        expected="one that `gnomon models` lists, one of the collection's versions, or one that is served",
        hint="another one is chosen where the collection lies: gnomon migrate KB --to MODEL",
    )
