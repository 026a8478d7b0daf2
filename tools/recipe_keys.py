"""The key tables of docs/training.md: types and defaults from the dataclasses, the meanings from here.

Usage: python tools/recipe_keys.py writes them into the page.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from gnomon.train.checkpoint import FREE_KEYS, REMEDY_KEYS
from gnomon.train.losses import LOSSES
from gnomon.train.recipe.recipe import Recipe
from gnomon.train.recipe.tables import LOSS_SETTINGS

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "training.md"
BEGIN, END = "<!-- keys: tools/recipe_keys.py writes from here -->\n", "<!-- keys: to here -->\n"
SAME_AS = {"data.dev": "data.sources", "data.test": "data.sources"}
"""Tables that have the keys of another one."""
MEANINGS: Mapping[str, str] = {
    "model.kind": "One vector a text (`bi`), the same with two towers (`dual`), a vector a token (`late`), "
    "a score for a pair (`cross`), a table of token vectors (`static`), weights of words (`sparse`).",
    "model.backbone": "What it begins with: a folder, a hub id or a short name (`gnomon models`).",
    "model.new": "A network with random weights (`static`: a table of them) in place of `backbone`.",
    "model.new.model_type": "The architecture, by its name in transformers.",
    "model.new.hidden": "Dimensions of the hidden state: a multiple of `heads`.",
    "model.new.layers": "Layers.",
    "model.new.heads": "Attention heads.",
    "model.new.wide": "Dimensions of the feed-forward layers; 0: four times `hidden`.",
    "model.new.max_tokens": "The longest text that the network can read.",
    "model.new.seed": "For the random weights.",
    "model.new.more": "More keys for the network's config, as they are.",
    "model.document_backbone": 'The second tower of `kind = "dual"`; by default made like the first.',
    "model.pooling": "How token vectors become one: `bi` and `dual` only. By default as the folder says.",
    "model.dim": "Project to so many dimensions. 0: as the model has (`late` 128, `static` 256).",
    "model.max_tokens": "Longer texts are cut. By default as the folder says.",
    "model.similarity": "How two vectors are compared. By default as the folder says, else cosine.",
    "model.prompts": "Text put before texts, by role: `query` and `document`. Saved with the model.",
    "model.pool_prompt": "Whether the prompt's tokens count in the pooling.",
    "model.tokenizer": "Of a new network or table: a model's name, or `wordpiece` or `bpe` for a new one "
    "made from the training texts.",
    "model.vocabulary": "Size of a new tokenizer.",
    "model.late": "Late interaction's own settings: see `[model.late]`.",
    "model.head": 'What makes the score of `kind = "cross"`: a layer over the first token, or matched '
    "tokens. By default as the folder says, else `classifier`.",
    "model.late.query_tokens": "Queries are filled to this length with mask tokens. 0: left as they are.",
    "model.late.attend": "Whether the other tokens attend to the fillers.",
    "model.late.skip_punctuation": "Leave out punctuation of documents.",
    "model.teacher": "A model whose vectors texts are to have: parallel sentences both that of the sentence, all other "
    "texts their own.",
    "model.teacher_vectors": "The folder that keeps the teacher's vectors; by default FOLDER.training/teacher.",
    "model.teacher_max_cost": "The most that a provider's teacher may cost, in USD. By default no limit.",
    "model.dropout": "Of the hidden states. By default as the model's config says.",
    "model.attention_dropout": "Of the attention weights. By default as the model's config says.",
    "model.checkpointing": "Compute layers again in the backward pass: less memory, more time.",
    "model.seed": "For new projections and heads.",
    "data.sources": "What to train on: one or more `[[data.sources]]`.",
    "data.sources.path": 'A file, a folder, or (format `datasets`) a data set\'s name.',
    "data.sources.name": "What batches and reports call it. By default the file's name.",
    "data.sources.format": "By default told by the suffix or content.",
    "data.sources.split": "For BEIR folders and `datasets`.",
    "data.sources.columns": "Maps `query`, `positive`, `negative`, `label` to columns with unusual names; or lists "
    "the columns in their order where the file does not name them.",
    "data.sources.scale": "Lowest and highest score in the file; brought to 0 to 1.",
    "data.sources.make": "What format `documents` makes queries of.",
    "data.sources.weight": 'Share of the batches with `mixing = "weighted"`.',
    "data.sources.limit": "Only the first so many examples (of a BEIR folder to evaluate on: queries).",
    "data.sources.prompts": "As `model.prompts`, for this source alone.",
    "data.dev": "What to evaluate on during the run: one or more `[[data.dev]]`, with the keys of a source.",
    "data.test": "What to evaluate on once, at the start and the end: `[[data.test]]`.",
    "data.mixing": "`proportional`: an epoch is every example once. `weighted`: by the sources' weights.",
    "data.distinct": "No query twice in a batch, and no document that is right for another of its queries.",
    "data.drop_short": "Leave out the short batch at a source's end.",
    "data.strict": "Refuse data with any finding. Otherwise bad rows are left out and counted.",
    "objective.name": "The loss.",
    "objective.temperature": "Scores are divided by it; 0.05 is a scale of 20.",
    "objective.direction": "Documents for a query, queries for a document, or the mean of the two.",
    "objective.learned": "Learn the temperature.",
    "objective.hardness": "Above 0: negatives with high scores count more.",
    "objective.margin": "The distance that is asked for.",
    "objective.hardest": "Only the query's best-scored negative counts.",
    "objective.scale": "Multiplies the model's scores, to reach the teacher's margins.",
    "objective.teacher_temperature": "The teacher's scores are divided by it.",
    "objective.in_batch": "Other examples' documents are negatives. By default for `infonce` and `triplet`.",
    "objective.matryoshka": "Prefixes of the vector are to be good too.",
    "objective.matryoshka.dims": "The prefixes; 0 is all dimensions.",
    "objective.matryoshka.weights": "One for each of `dims`. By default 1.",
    "objective.layer_wise": "Earlier layers are to be good too. Not together with `matryoshka`.",
    "objective.layer_wise.layers": "Counted from the end; -1 is the last.",
    "objective.layer_wise.dims": "Prefixes, for each of the layers; 0 is all dimensions.",
    "objective.flops": 'FLOPS regularisation, which makes weights sparse: `kind = "sparse"` only.',
    "objective.flops.query": "The factor of the queries' FLOPS.",
    "objective.flops.document": "The factor of the documents' FLOPS.",
    "objective.flops.ramp": "The share of the steps over which both factors rise, with the square of the steps.",
    "objective.mask_false_negatives": "Negatives that score too well are not learned from.",
    "objective.mask_false_negatives.threshold": "The limit.",
    "objective.mask_false_negatives.against": "The limit is `threshold` itself, the positive's score less "
    "`threshold`, or its share `threshold`.",
    "optim.lr": "The highest learning rate (AdamW).",
    "optim.weight_decay": "Not of biases and norms.",
    "optim.warmup": "Share of the steps in which the rate rises.",
    "optim.schedule": "How the rate falls after the warm-up.",
    "optim.epochs": "Times through the data.",
    "optim.steps": "Ends the run earlier than `epochs` does.",
    "optim.batch_size": "Examples a step, over all processes together.",
    "optim.chunk": "At most so many texts (or pairs) are computed at once (GradCache). By default no limit.",
    "optim.chunk_tokens": "The same by tokens. By default no limit.",
    "optim.clip": "Bound of the gradient's norm; 0: none.",
    "optim.precision": "`auto`: bfloat16 where the hardware multiplies in it.",
    "optim.seed": "For the order of the data and dropout.",
    "optim.ema": "Decay of a running mean of the weights, which is then what is kept; such as 0.999.",
    "optim.average": "Share of the trained weights in their mean with the starting ones. Not with `ema`.",
    "dev.metric": "What is watched. Scored pairs are always judged by Spearman's correlation.",
    "dev.every": "Evaluate after so many steps; 0: at each epoch's end.",
    "dev.patience": "So many evaluations without a better one end the run; 0: never.",
    "dev.corpus": "An evaluation during the run ranks at most so many documents; 0: all.",
    "dev.map": "So many queries are tracked for the report's pictures; 0: none.",
    "output.folder": "The model's folder. Checkpoints and report go to FOLDER.training beside it.",
    "output.checkpoint_every": "Steps between checkpoints; 0: at each epoch's end.",
    "output.keep": "Checkpoints that stay.",
}  # fmt: skip
Key = tuple[str, Any, Field[Any]]


def all_keys(kind: type = Recipe, path: str = "") -> Iterator[Key]:
    """Way, type and field of every key of a dataclass and of the tables in it, as they come."""
    hints = get_type_hints(kind)
    for one in fields(kind):
        way = f"{path}.{one.name}" if path else one.name
        if path:
            yield way, hints[one.name], one
        inner = _table_in(hints[one.name])
        if inner is not None and way not in SAME_AS:
            yield from all_keys(inner, way)


def key_tables() -> str:
    """A table for each of the recipe's tables, then what losses take, and what may change in a run."""
    tables: dict[str, list[str]] = {}
    for way, hint, one in all_keys():
        table, _, key = way.rpartition(".")
        cells = (f"`{key}`", _said(hint), _default(one), MEANINGS[way])
        tables.setdefault(table, []).append(f"| {' | '.join(cells)} |")
    out = []
    for table, rows in tables.items():
        head = f"[[{table}]]" if table == "data.sources" else f"[{table}]"
        out.append(f"### `{head}`\n\n| key | type | default | meaning |\n|---|---|---|---|\n" + "\n".join(rows))
    return "\n\n".join([*out, _losses(), _changes()]) + "\n"


def _losses() -> str:
    rows = []
    for name, made in LOSSES.items():
        own = inspect.signature(made).parameters
        taken = ", ".join(f"`{key} = {_literal(own[key].default)}`" for key in LOSS_SETTINGS[name])
        rows.append(f"| `{name}` | {taken or 'nothing'} |")
    head = "### What each loss takes, with its own defaults\n\n| loss | settings |\n|---|---|\n"
    return head + "\n".join(rows)


def _changes() -> str:
    free, remedies = (", ".join(f"`{key}`" for key in sorted(keys)) for keys in (FREE_KEYS, REMEDY_KEYS))
    return (
        "### What may change in a run that goes on\n\n"
        f"- always: {free};\n- after the loss became NaN also: {remedies};\n- nothing else."
    )


def _table_in(hint: Any) -> type | None:
    for one in (hint, *get_args(hint)):
        if isinstance(one, type) and is_dataclass(one):
            return one
    return None


def _said(hint: Any) -> str:
    """A type in words."""
    names = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "anything"}
    origin, inner = get_origin(hint), get_args(hint)
    if hint in names:
        return names[hint]
    if origin in (Union, types.UnionType):
        return " or ".join(_said(one) for one in inner if one is not type(None))
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in inner)
    if origin is tuple:
        many = "list" if inner[-1] is Ellipsis else f"list of {len(inner)}"
        return f"{many}: {_said(inner[0])}"
    return "table"


def _default(one: Field[Any]) -> str:
    if one.default is not MISSING:
        return "" if one.default is None else f"`{_literal(one.default)}`"
    if one.default_factory is MISSING:
        return "must be given"
    return "" if is_dataclass(made := one.default_factory()) else f"`{_literal(made)}`"


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return "{}" if isinstance(value, Mapping) else repr(value)


def with_keys(guide: str) -> str:
    """The guide with the key tables as the code has them."""
    before, rest = guide.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{key_tables()}\n{END}{after}"


if __name__ == "__main__":
    GUIDE.write_text(with_keys(GUIDE.read_text(encoding="utf-8")), encoding="utf-8")
