"""Which kind of model a folder holds, by what its files say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from gnomon.core.contracts import Role
from gnomon.core.errors import ModelUnsupported
from gnomon.encode.layout.backbone import sentence_config
from gnomon.encode.layout.files import inside, read_json
from gnomon.encode.layout.model import ModelLayout, Said, layout_of, read_similarity
from gnomon.encode.layout.modules import Part, assemble, read_parts, refuse, short
from gnomon.encode.layout.prompts import resolve_prompts

_ROUTERS = ("Router", "Asym")


def is_routed(parts: list[Part]) -> bool:
    """Whether the model begins with a Router."""
    return bool(parts) and parts[0].kind in _ROUTERS


def read_towers(folder: Path, *, name: str, prompts: Mapping[str, str] | None = None) -> dict[Role, ModelLayout]:
    """The layout of each role's tower: the modules of its route, then those that follow the Router.

    A tower has the prompt of its own role and no other. `prompts` by role win over the folder's.
    Raises ModelUnsupported for routes other than "query" and "document", and for what a tower cannot run.
    """
    parts = read_parts(folder) or []
    if not is_routed(parts):
        refuse(folder, "no Router as its first module", "a Router with a query and a document route")
    settings = read_json(folder / "config_sentence_transformers.json")
    similarity = read_similarity(folder, settings)
    resolved = resolve_prompts(name, settings, card=None, given=prompts)
    towers = {}
    for role, route in _routes(parts[0].at).items():
        modules = assemble(folder, [*route, *parts[1:]])
        own: dict[str, str] = {role: resolved[role]}
        said = Said(prompts=own, similarity=similarity, folder=modules.base)
        towers[role] = layout_of(modules, said, name=f"{name} ({role} tower)")
    return towers


def _routes(at: Path) -> dict[Role, list[Part]]:
    config = read_json(at / "router_config.json") or read_json(at / "config.json")
    try:
        structure = {str(route): [str(part) for part in names] for route, names in config["structure"].items()}
        kinds = {str(part): str(kind) for part, kind in config["types"].items()}
        strange = [kinds[part] for names in structure.values() for part in names if not short(kinds[part])]
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelUnsupported(
            f"{at} has no routes that can be read ({type(error).__name__}: {error})",
            expected="router_config.json as sentence-transformers writes it",
            hint="fetch the model again",
        ) from error
    if strange:
        refuse(at, f"the module {strange[0]}")
    mapped = (config.get("parameters") or {}).get("route_mappings")
    if mapped or set(structure) != set(get_args(Role)):
        raise ModelUnsupported(
            f"{at} routes by {', '.join(sorted([*structure, *(mapped or ())]))}",
            expected="two routes, query and document, and no further mapping",
            hint="save it once with Router.for_query_document",
        )
    roles: tuple[Role, ...] = get_args(Role)
    return {role: [Part(short(kinds[part]), inside(at, part)) for part in structure[role]] for role in roles}


Shape = Literal["single", "dual", "late", "cross"]


def shape_of(folder: Path, *, carded: bool = False) -> Shape:
    """One vector a text, two towers, a vector a token, or a score for a pair.

    A bare folder of transformers' is what its config's architecture says, unless a card knows the model.
    Raises ModelUnsupported for modules that no kind has.
    """
    parts = read_parts(folder)
    kind = read_json(folder / "config_sentence_transformers.json").get("model_type")
    if parts is None:
        architectures = read_json(folder / "config.json").get("architectures") or [""]
        classifies = str(architectures[0]).endswith("ForSequenceClassification")
        return "cross" if kind == "CrossEncoder" or (classifies and not carded) else "single"
    if is_routed(parts):
        return "dual"
    names = [part.kind for part in parts]
    if "MaxSimScore" in names:
        return "cross"
    if kind == "MultiVectorEncoder" or "MultiVectorMask" in names:
        return "late"
    task = sentence_config(parts[0].at).get("transformer_task") if parts else None
    if names == ["Transformer"] and (kind == "CrossEncoder" or task == "sequence-classification"):
        return "cross"
    return "single"
