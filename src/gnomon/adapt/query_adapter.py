"""The query adapter: a residual map learnt from judged queries, saved as a model that embeds queries alone."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from gnomon.adapt.candidates import Candidate, Family, JudgedQueries
from gnomon.adapt.judged_passages import judged_passages
from gnomon.adapt.query_residual import adapted, choose_strength, fit_path, path_to
from gnomon.collection.collection import Collection
from gnomon.collection.serving.shared_space import for_role, require_shared_space
from gnomon.core.contracts import Array, DelegatingEncoder, Encoder, Role
from gnomon.core.errors import InvalidInput, ModelNotFound, ModelUnsupported, SpaceMismatch
from gnomon.core.files import is_file, replacing_folder
from gnomon.core.progress import Progress, ProgressCallback
from gnomon.core.vectors import Vectors
from gnomon.encode.hub.locate import locate
from gnomon.encode.layout.model import ModelLayout, read_layout
from gnomon.encode.layout.modules import architecture_of
from gnomon.encode.providers.names import provider_reference

_TYPES = "sentence_transformers.models."
_WEIGHTS = (".safetensors", ".onnx", ".onnx_data")
_SHRINK, _SHRINKINGS = 0.5, 6


class QueryAdapter:
    """A `Learner` of normalise(q + W q): W by gradient descent in numpy, its penalty by cross-validation inside.

    Of a collection with a query encoder, that one is adapted. InvalidInput for models without a folder (a provider's,
    a plug-in's), with two towers or a vector a token.
    """

    name = "query adapter"
    family: Family = "query-adapter"

    def fit(self, kb: Collection, judged: JudgedQueries, folder: Path, *, progress: ProgressCallback) -> Candidate:
        """As `Learner.fit`: `query_encoder.model` is a folder `query-adapter` in `folder`."""
        layout = query_model(kb)
        progress(Progress("fitting", message=f"{self.name}: {len(judged)} queries"))
        data = judged_passages(kb, judged).targets()
        strength = choose_strength(data)
        residual = shrunk_to_share(kb.encoder, fit_path(data, path_to(strength))[-1])
        target = folder / "query-adapter"
        save_adapted_model(layout, residual, target)
        return Candidate(self.name, self.family, {"query_encoder.model": str(target)})


def query_model(kb: Collection) -> ModelLayout:
    """The model that embeds queries of the live version. Raises InvalidInput where it is not one vector's folder."""
    version = kb.version
    set_to = version.retrieval.query_encoder
    name = version.model if set_to is None else set_to.model
    try:
        if provider_reference(name) is not None:
            raise ModelUnsupported(f"{name}, whose weights are at its provider", expected="a model with a folder")
        located = locate(name)
        if (shape := architecture_of(located.folder, carded=located.carded)) != "single":
            raise ModelUnsupported(f"{name}, a model of the kind {shape}", expected="a model of one vector a text")
        return read_layout(located.folder, name=Path(name).name, card=located.card)
    except (ModelNotFound, ModelUnsupported) as error:
        raise InvalidInput(f"queries are embedded by {error.message}", expected=error.expected) from error


class AdaptedEncoder(DelegatingEncoder):
    """An encoder whose vectors, of either role, are normalise(v + W v)."""

    def __init__(self, encoder: Encoder, residual: Array) -> None:
        super().__init__(encoder)
        self._residual = residual

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """As the wrapped encoder does, then mapped."""
        return Vectors(adapted(np.array(self.encoder.encode(texts, role=role).data), self._residual), self.space)


def shrunk_to_share(encoder: Encoder, residual: Float[np.ndarray, "dim dim"]) -> Float[np.ndarray, "dim dim"]:
    """W, halved until a text's adapted vector is nearer to its own than to any other text's, as a query encoder's must.

    Raises InvalidInput where that never holds.
    """
    documents, queries = for_role(encoder, "document"), for_role(encoder, "query")
    for _ in range(_SHRINKINGS):
        try:
            require_shared_space(documents, AdaptedEncoder(queries, residual))
        except SpaceMismatch:
            residual = residual * _SHRINK
        else:
            return residual
    raise InvalidInput("no residual map keeps texts nearest to themselves", expected="queries in the passages' space")


def save_adapted_model(layout: ModelLayout, residual: Float[np.ndarray, "dim dim"], target: Path) -> None:
    """Write the model with a linear layer I + W after its pooling, in the layout of sentence-transformers.

    Where W has fewer dimensions than the model (the first ones), the others stay as they are. Files are linked where
    the file system can, else copied. Raises InvalidInput for a model whose folder lists no modules and is not static.
    """
    rows = _modules(layout)
    at = len(rows) - 1 if layout.normalise and rows[-1]["type"].endswith(".Normalize") else len(rows)
    path = f"{at}_Adapter"
    rows.insert(at, {"path": path, "type": f"{_TYPES}Dense"})
    weights = np.eye(layout.dim, dtype=np.float32)
    weights[: len(residual), : len(residual)] += residual
    with replacing_folder(target) as made:
        _place_files(layout.folder, made)
        (made / path).mkdir()
        _write_dense(made / path, weights)
        numbered = [{"idx": n, "name": str(n), **row} for n, row in enumerate(rows)]
        _write(made / "modules.json", numbered)
        settings = made / "config_sentence_transformers.json"
        kept = json.loads(settings.read_text(encoding="utf-8")) if is_file(settings) else {}
        kept |= {"prompts": {**(kept.get("prompts") or {}), **layout.prompts}, "similarity_fn_name": layout.similarity}
        _write(settings, kept)


def _modules(layout: ModelLayout) -> list[dict[str, str]]:
    listed = layout.folder / "modules.json"
    if is_file(listed):
        rows = json.loads(listed.read_text(encoding="utf-8"))
        return [{"path": row["path"], "type": row["type"]} for row in rows]
    if layout.kind != "static":
        raise InvalidInput(f"{layout.folder}, which lists no modules", expected="a folder with modules.json")
    return [{"path": "", "type": f"{_TYPES}StaticEmbedding"}, {"path": "1_Normalize", "type": f"{_TYPES}Normalize"}]


def _place_files(source: Path, target: Path) -> None:
    for path in source.rglob("*"):
        placed = target / path.relative_to(source)
        if path.is_dir():
            placed.mkdir(parents=True, exist_ok=True)
        elif path.is_file():
            placed.parent.mkdir(parents=True, exist_ok=True)
            _place(path.resolve(), placed)


def _place(source: Path, target: Path) -> None:
    """A link to the same bytes for weights, which nothing writes in place; a copy of all that may be changed."""
    if source.suffix in _WEIGHTS:
        try:
            os.link(source, target)
        except OSError:
            pass
        else:
            return
    shutil.copyfile(source, target)


def _write_dense(folder: Path, weights: Float[np.ndarray, "dim dim"]) -> None:
    from safetensors.numpy import save_file

    dim = len(weights)
    settings = {
        "in_features": dim,
        "out_features": dim,
        "bias": False,
        "activation_function": "torch.nn.modules.linear.Identity",
    }
    _write(folder / "config.json", settings)
    save_file({"linear.weight": np.ascontiguousarray(weights)}, folder / "model.safetensors")


def _write(path: Path, plain: object) -> None:
    path.write_text(json.dumps(plain, indent=2, ensure_ascii=False), encoding="utf-8")
