"""Folders of late-interaction models, as sentence-transformers' MultiVectorEncoder 6.2.0 saves them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from gnomon.core.contracts import Role
from gnomon.core.errors import ModelUnsupported
from gnomon.core.space import Ingredients
from gnomon.encode.digest import digest_json
from gnomon.encode.layout.backbone import (
    check_backbone,
    find_tokenizer,
    position_count,
    read_max_tokens,
    sentence_config,
)
from gnomon.encode.layout.families import FAMILIES
from gnomon.encode.layout.files import read_json, special_token
from gnomon.encode.layout.fingerprint import (
    architecture_digest,
    tokenizer_digest,
    weights_digest,
)
from gnomon.encode.layout.modules import (
    ModuleEntry,
    check_normalize,
    find_weights,
    list_modules,
    refuse,
)
from gnomon.encode.layout.prompts import resolve_prompts
from gnomon.encode.layout.tokenizer_config import read_tokenizer_config
from gnomon.encode.layout.vector_layers import ProjectionLayer, projection_digest, read_projection

_FEATURE = "token_embeddings"
# What PyLate 3 and older wrote beside the prompts, and sentence-transformers translates when it loads them.
_OLDER = ("query_prefix", "document_prefix", "skiplist_words", "do_query_expansion", "query_length")


@dataclass(frozen=True)
class QueryExpansion:
    """Query augmentation: shorter queries are filled up to `length` tokens with `token`, whose vectors count.

    "fixed" also cuts longer queries to it. With `attend` the other tokens see the added ones.
    """

    strategy: Literal["fixed", "min"]
    length: int
    token: str
    attend: bool


@dataclass(frozen=True)
class LateInteractionLayout:
    """All that a late-interaction encoder needs of a model's folder.

    `limits` are tokens a text by role, special tokens, prompt and augmentation included; `max_tokens` is the
    larger. Tokens among `skiplist` have no vector in texts of `skiplist_roles`.
    """

    name: str
    config: Mapping[str, Any]
    family: str
    weights: Path
    tokenizer: Path
    projections: tuple[ProjectionLayer, ...]
    prompts: Mapping[str, str]
    limits: Mapping[Role, int]
    expansion: QueryExpansion | None
    skiplist: tuple[str, ...]
    skiplist_roles: tuple[str, ...]
    dim: int

    @property
    def max_tokens(self) -> int:
        """The longest text of either role."""
        return max(self.limits.values())

    def ingredients(self) -> Ingredients:
        """What decides this model's vectors, by content."""
        rules = {
            "limits": dict(self.limits),
            "expansion": asdict(self.expansion) if self.expansion else None,
            "skiplist": sorted(self.skiplist),
            "skiplist_roles": sorted(self.skiplist_roles),
        }
        return Ingredients(
            weights=weights_digest(self.weights),
            architecture=architecture_digest("late", self.config),
            tokenizer=tokenizer_digest(self.tokenizer, read_tokenizer_config(self.tokenizer)),
            pooling=f"tokens {digest_json(rules)}",
            projection=projection_digest(self.projections),
            prompts=dict(self.prompts),
            normalise=True,
            max_tokens=self.max_tokens,
            dim=self.dim,
            similarity="maxsim",
            precision="float",
        )


def read_late_interaction(
    folder: Path, *, name: str, prompts: Mapping[str, str] | None = None
) -> LateInteractionLayout:
    """Read a folder with a Transformer, Dense layers over tokens, a MultiVectorMask and Normalize.

    `prompts` by role win over the folder's. Raises MissingPrompt, and ModelUnsupported for what cannot run.
    """
    settings = read_json(folder / "config_sentence_transformers.json")
    _check_settings(folder, settings)
    base, dense, mask = _split_modules(folder, list_modules(folder) or [])
    config = read_json(base / "config.json")
    check_backbone(base, config)
    family = str(config["model_type"])
    if family not in FAMILIES:
        refuse(base, f"a transformer of the family {family!r}", f"one of {', '.join(sorted(FAMILIES))}")
    expansion = _expansion(base)
    projections = tuple(read_projection(module, _FEATURE) for module in dense)
    masked = read_json(mask / "config.json") if mask else {}
    if masked.get("keep_only_token_ids"):
        refuse(mask or folder, "keep_only_token_ids", "all tokens but those of a skiplist")
    return LateInteractionLayout(
        name=name,
        config=config,
        family=family,
        weights=_safetensors(find_weights(base, folder)),
        tokenizer=find_tokenizer(base, folder),
        projections=projections,
        prompts=resolve_prompts(name, settings, card=None, overrides=prompts),
        limits=_limits(base, family, config, expansion=expansion),
        expansion=expansion,
        skiplist=tuple(masked.get("skiplist_words") or ()),
        skiplist_roles=_roles(mask, masked),
        dim=projections[-1].out_dim if projections else int(config.get("hidden_size") or config["dim"]),
    )


def _check_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    if settings.get("similarity_fn_name") not in (None, "maxsim"):
        refuse(folder, f"the similarity {settings['similarity_fn_name']!r}", "maxsim")
    older = [key for key in _OLDER if key in settings]
    if older or settings.get("model_type") not in (None, "MultiVectorEncoder"):
        raise ModelUnsupported(
            f"{folder} is a late-interaction model in an older form ({older[0] if older else settings['model_type']})",
            expected="the form that sentence-transformers 6.2 saves",
            hint="MultiVectorEncoder(folder).save_pretrained(another) with sentence-transformers",
        )


def _split_modules(folder: Path, entries: list[ModuleEntry]) -> tuple[Path, list[Path], Path | None]:
    """The transformer's folder, those of the linear layers, and that of the mask."""
    names = [entry.kind for entry in entries]
    rest = [name for name in names[1:] if name != "MultiVectorMask"]
    dense = rest[:-1]
    if (
        names[:1] != ["Transformer"]
        or rest[-1:] != ["Normalize"]
        or any(name != "Dense" for name in dense)
        or names.count("MultiVectorMask") > 1
    ):
        refuse(folder, f"the modules {' -> '.join(names)}", "Transformer, Dense, MultiVectorMask, Normalize")
    check_normalize(next(entry.folder for entry in entries if entry.kind == "Normalize"), _FEATURE)
    masks = [entry.folder for entry in entries if entry.kind == "MultiVectorMask"]
    if not masks and sentence_config(entries[0].folder).get("query_expansion"):
        refuse(folder, "query_expansion and no MultiVectorMask", "a MultiVectorMask, which lets it count")
    return (
        entries[0].folder,
        [entry.folder for entry in entries if entry.kind == "Dense"],
        (masks[0] if masks else None),
    )


def _expansion(base: Path) -> QueryExpansion | None:
    config = sentence_config(base).get("query_expansion")
    if not config:
        return None
    length, strategy = config.get("length"), config.get("strategy")
    if strategy not in ("fixed", "min") or not isinstance(length, int) or length < 1:
        refuse(base, f"query_expansion {config}", "strategy fixed or min, and a length")
    token = config.get("token") or special_token(base, ("mask_token", "eos_token"))
    if not token:
        refuse(base, "query_expansion without a token, and a tokenizer without a mask token", "either")
    return QueryExpansion(strategy, length, str(token), bool(config.get("attend", False)))


def _limits(base: Path, family: str, config: Mapping[str, Any], *, expansion: QueryExpansion | None) -> dict[Role, int]:
    declared, longest = sentence_config(base), read_max_tokens(base, family, config, card=None)
    query = int(declared.get("query_length") or longest)
    if expansion:
        query = expansion.length if expansion.strategy == "fixed" else max(query, expansion.length)
    limits: dict[Role, int] = {"query": query, "document": int(declared.get("document_length") or longest)}
    available = position_count(family, config)
    if available is not None and max(limits.values()) > available:
        refuse(base, f"lengths of {limits}", f"lengths of at most {available}, the model's positions")
    return limits


def _roles(mask: Path | None, masked: Mapping[str, Any]) -> tuple[str, ...]:
    tasks = masked.get("skiplist_tasks", ["document"])
    roles = (tasks,) if isinstance(tasks, str) else tuple(tasks or ())
    if mask and not set(roles) <= set(get_args(Role)):
        refuse(mask, f"skiplist_tasks {', '.join(roles)}", "query and document")
    return roles


def _safetensors(weights: Path) -> Path:
    if weights.suffix == ".onnx":
        refuse(weights.parent, "only an ONNX file", "model.safetensors")
    return weights
