"""Models to folders as sentence-transformers 6.2 writes them, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gnomon.core.errors import InvalidInput
from gnomon.encode.layout.modules import ATTENTION_POOLING, MAXSIM_SCORE

if TYPE_CHECKING:
    from gnomon.train.models.backbone import Backbone
    from gnomon.train.models.pooling import Projection
    from gnomon.train.models.towers import Tower

_BASE, _OWN = "sentence_transformers.base.modules", "sentence_transformers.sentence_transformer.modules"
TYPES: Mapping[str, str] = {
    "Transformer": f"{_BASE}.transformer.Transformer",
    "Dense": f"{_BASE}.dense.Dense",
    "Normalize": f"{_BASE}.normalize.Normalize",
    "Router": f"{_BASE}.router.Router",
    "Pooling": f"{_OWN}.pooling.Pooling",
    "StaticEmbedding": f"{_OWN}.static_embedding.StaticEmbedding",
    "MultiVectorMask": "sentence_transformers.multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask",
    "AttentionPooling": ATTENTION_POOLING,
    "MaxSimScore": MAXSIM_SCORE,
}
IDENTITY = "torch.nn.modules.linear.Identity"
_LAYOUT = "6.2.0"  # the sentence-transformers whose layout this is


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A folder to fill beside `target`, which takes its place once it is whole and on the disk.

    A model that is there already is replaced. Raises InvalidInput where something else is there.
    """
    if target.exists() and not _replaceable(target):
        raise InvalidInput(
            f"{target} is there, and is not a model",
            expected="a new folder, or one that holds a model to be replaced",
            hint="name another folder",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        yield made
        _settle(made, target)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def write_json(path: Path, plain: Any) -> None:
    """JSON with indents, in UTF-8."""
    path.write_text(json.dumps(plain, indent=2, ensure_ascii=False), encoding="utf-8")


class Parts:
    """The modules of a folder as they are written: name and path of each, in order.

    With a `route`, the folders are those of one route of a Router.
    """

    def __init__(self, folder: Path, route: str = "") -> None:
        self._folder, self._route = folder, route
        self.rows: list[tuple[str, str]] = []

    def place(self, name: str) -> Path:
        """A new part's folder, made. The first part of a model lies in the folder itself."""
        at = len(self.rows)
        path = f"{self._route}_{at}_{name}" if self._route else (f"{at}_{name}" if at else "")
        self.rows.append((name, path))
        folder = self._folder / path
        folder.mkdir(exist_ok=True)
        return folder

    def add_backbone(self, backbone: Backbone, extra: Mapping[str, Any] | None = None) -> None:
        """The Transformer; `extra` goes into its sentence_bert_config.json."""
        folder = self.place("Transformer")
        backbone.save(folder)
        write_json(folder / "sentence_bert_config.json", {**transformer_config(), **(extra or {})})

    def add_tower(self, tower: Tower, *, include_prompt: bool) -> None:
        """Transformer, Pooling, and Dense for each projection."""
        self.add_backbone(tower.backbone)
        attention = tower.pool.attention
        if attention is None:
            folder = self.place("Pooling")
            write_json(folder / "config.json", tower.pool.config(include_prompt=include_prompt))
        else:
            attention.include_prompt = include_prompt
            attention.save(str(self.place("AttentionPooling")))
        for projection in tower.projections:
            self.add_dense(projection)

    def add_dense(self, projection: Projection, between: str = "sentence_embedding") -> None:
        """A Dense."""
        projection.save(self.place("Dense"), between=between)

    def add_normalize(self, between: str) -> None:
        """A Normalize."""
        plain = {"module_input_name": between, "module_output_name": between}
        write_json(self.place("Normalize") / "config.json", plain)


def transformer_config() -> dict[str, Any]:
    """What a Transformer whose last hidden state is used says of itself."""
    return {
        "transformer_task": "feature-extraction",
        "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
        "module_output_name": "token_embeddings",
    }


def write_modules(folder: Path, parts: Parts) -> None:
    """modules.json."""
    rows = [
        {"idx": at, "name": str(at), "path": path, "type": TYPES[name]} for at, (name, path) in enumerate(parts.rows)
    ]
    write_json(folder / "modules.json", rows)


def write_sentence_model(
    folder: Path,
    parts: Parts,
    *,
    prompts: Mapping[str, str],
    similarity: str | None,
    model_type: str = "SentenceTransformer",
) -> None:
    """modules.json and config_sentence_transformers.json: what makes the parts one model."""
    write_modules(folder, parts)
    settings = {
        "__version__": {"sentence_transformers": _LAYOUT},
        "default_prompt_name": None,
        "model_type": model_type,
        "prompts": {"query": "", "document": "", **prompts},
        "similarity_fn_name": similarity,
    }
    write_json(folder / "config_sentence_transformers.json", settings)


def write_cross_settings(folder: Path, activation: str = IDENTITY) -> None:
    """config_sentence_transformers.json of a cross-encoder: the torch module that makes scores of logits."""
    settings = {
        "__version__": {"sentence_transformers": _LAYOUT},
        "activation_fn": activation,
        "default_prompt_name": None,
        "model_type": "CrossEncoder",
        "prompts": {},
    }
    write_json(folder / "config_sentence_transformers.json", settings)


def _replaceable(target: Path) -> bool:
    return target.is_dir() and (not any(target.iterdir()) or (target / "modules.json").is_file())


def _settle(made: Path, target: Path) -> None:
    for path in made.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    made.chmod(0o755)
    if not target.exists():
        made.replace(target)
        return
    # A folder with files cannot be replaced in one step: the old one steps aside, and comes back on failure.
    aside = made.with_name(made.name + ".old")
    target.replace(aside)
    try:
        made.replace(target)
    except OSError:
        aside.replace(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)
