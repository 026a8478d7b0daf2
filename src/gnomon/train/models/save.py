"""Saving models in the layout of sentence-transformers 6.2, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from gnomon.core.errors import InvalidInput
from gnomon.core.files import exists, is_file, is_folder, replacing_folder
from gnomon.encode.layout.modules import ATTENTION_POOLING, MAXSIM_SCORE

_BASE, _OWN = "sentence_transformers.base.modules", "sentence_transformers.sentence_transformer.modules"
TYPES: Mapping[str, str] = {
    "Transformer": f"{_BASE}.transformer.Transformer",
    "Dense": f"{_BASE}.dense.Dense",
    "Normalize": f"{_BASE}.normalize.Normalize",
    "Router": f"{_BASE}.router.Router",
    "Pooling": f"{_OWN}.pooling.Pooling",
    "StaticEmbedding": f"{_OWN}.static_embedding.StaticEmbedding",
    "MultiVectorMask": "sentence_transformers.multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask",
    "SpladePooling": "sentence_transformers.sparse_encoder.modules.splade_pooling.SpladePooling",
    "AttentionPooling": ATTENTION_POOLING,
    "MaxSimScore": MAXSIM_SCORE,
}
IDENTITY = "torch.nn.modules.linear.Identity"
_LAYOUT = "6.2.0"  # the sentence-transformers whose layout this is


@contextmanager
def replacing_model(target: Path) -> Iterator[Path]:
    """A folder to write a model to, which takes the place of `target` once it is whole and on the disk.

    A model that is there already is replaced. Raises InvalidInput where something else is there.
    """
    if exists(target) and not _replaceable(target):
        raise InvalidInput(
            f"{target} is there, and is not a model",
            expected="a new folder, or one that holds a model to be replaced",
            hint="name another folder",
        )
    with replacing_folder(target) as made:
        yield made


def write_json(path: Path, plain: Any) -> None:
    """Write indented JSON in UTF-8."""
    path.write_text(json.dumps(plain, indent=2, ensure_ascii=False), encoding="utf-8")


class ModuleWriter:
    """Writes the modules of a model's folder: `rows` has the name and path of each, in order.

    With a `route`, they are the modules of one route of a Router.
    """

    def __init__(self, folder: Path, route: str = "") -> None:
        self._folder, self._route = folder, route
        self.rows: list[tuple[str, str]] = []

    def add(self, name: str) -> Path:
        """Add a module and return its folder; the first module of a model lies in the model's folder itself."""
        at = len(self.rows)
        path = f"{self._route}_{at}_{name}" if self._route else (f"{at}_{name}" if at else "")
        self.rows.append((name, path))
        folder = self._folder / path
        folder.mkdir(exist_ok=True)
        return folder

    def add_backbone(self, save: Callable[[Path], None], extra: Mapping[str, Any] | None = None) -> None:
        """Add the Transformer that `save` writes; `extra` goes into its sentence_bert_config.json."""
        folder = self.add("Transformer")
        save(folder)
        write_json(folder / "sentence_bert_config.json", {**transformer_config(), **(extra or {})})

    def add_normalize(self, between: str) -> None:
        """Add a Normalize."""
        plain = {"module_input_name": between, "module_output_name": between}
        write_json(self.add("Normalize") / "config.json", plain)


def transformer_config(task: Literal["feature-extraction", "fill-mask"] = "feature-extraction") -> dict[str, Any]:
    """sentence_bert_config.json of a Transformer whose last hidden state, or masked-language logits, are used."""
    output = "logits" if task == "fill-mask" else "last_hidden_state"
    return {
        "transformer_task": task,
        "modality_config": {"text": {"method": "forward", "method_output_name": output}},
        "module_output_name": "token_embeddings",
    }


def write_modules(folder: Path, modules: ModuleWriter) -> None:
    """Write modules.json."""
    rows = [
        {"idx": at, "name": str(at), "path": path, "type": TYPES[name]} for at, (name, path) in enumerate(modules.rows)
    ]
    write_json(folder / "modules.json", rows)


def write_sentence_model(
    folder: Path,
    modules: ModuleWriter,
    *,
    prompts: Mapping[str, str],
    similarity: str | None,
    model_type: str = "SentenceTransformer",
) -> None:
    """Write modules.json and config_sentence_transformers.json."""
    write_modules(folder, modules)
    settings = {
        "__version__": {"sentence_transformers": _LAYOUT},
        "default_prompt_name": None,
        "model_type": model_type,
        "prompts": {"query": "", "document": "", **prompts},
        "similarity_fn_name": similarity,
    }
    write_json(folder / "config_sentence_transformers.json", settings)


def write_cross_settings(folder: Path, activation: str = IDENTITY) -> None:
    """Write config_sentence_transformers.json of a cross-encoder; `activation` is the torch module for logits."""
    settings = {
        "__version__": {"sentence_transformers": _LAYOUT},
        "activation_fn": activation,
        "default_prompt_name": None,
        "model_type": "CrossEncoder",
        "prompts": {},
    }
    write_json(folder / "config_sentence_transformers.json", settings)


def _replaceable(target: Path) -> bool:
    return is_folder(target) and (not any(target.iterdir()) or is_file(target / "modules.json"))
