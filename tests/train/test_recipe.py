"""Recipes: what is read is what is meant; whatever is unknown, of another type or out of range is refused."""

import inspect
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from gnomon.core.errors import InvalidInput, UnreadableFile
from gnomon.core.serialize import key_paths
from gnomon.train.recipe import recipe as recipe_module
from gnomon.train.recipe.recipe import Recipe, load_recipe, read_recipe
from gnomon.train.recipe.tables import LOSS_SETTINGS, ModelTable, ObjectiveTable

FULL = """
[model]
kind = "dual"
backbone = "all-MiniLM-L6-v2"
pooling = "mean"
dim = 256
max_tokens = 128
dropout = 0
prompts = { query = "query: ", document = "say \\"this\\"\\n" }

[model.new]
hidden = 64
heads = 4
more = { vocab_size = 100 }

[data]
mixing = "weighted"

[[data.sources]]
path = "faq.csv"
columns = { query = "title", positive = ["body", "more"] }
weight = 2

[[data.sources]]
path = "nli.jsonl"
name = "nli"
prompts = { query = "nli: " }

[[data.dev]]
path = "dev"
split = "dev"
scale = [0, 5]

[objective]
name = "infonce"
temperature = 0.02
direction = "both"

[objective.matryoshka]
dims = [256, 64]

[objective.mask_false_negatives]
threshold = 0.1

[optim]
lr = 2e-5
batch_size = 1024
chunk = 64

[dev]
metric = "nDCG@10"
every = 200
patience = 5

[output]
folder = "model"
"""
LEAST = {"data": {"sources": [{"path": "a.jsonl"}]}}


def recipe(text: str, tmp_path: Path) -> Recipe:
    file = tmp_path / "recipe.toml"
    file.write_text(text, encoding="utf-8")
    return load_recipe(file)


def test_a_whole_recipe(tmp_path):
    found = recipe(FULL, tmp_path)
    assert (found.model.kind, found.model.dim, found.model.dropout) == ("dual", 256, 0.0)
    assert found.model.new is not None
    assert found.model.new.more == {"vocab_size": 100}
    assert [source.path for source in found.data.sources] == ["faq.csv", "nli.jsonl"]
    assert found.data.sources[0].weight == 2.0
    assert found.data.dev[0].scale == (0.0, 5.0)
    assert found.objective.settings == {"temperature": 0.02, "direction": "both"}
    assert found.objective.matryoshka is not None
    assert found.objective.matryoshka.dims == (256, 64)
    assert found.batches.size == 1024
    assert found.batches.in_batch is True
    assert found.batches.mixing == "weighted"
    assert found.checks().labels == (0.0, 1.0)


def test_it_is_written_and_read_back(tmp_path):
    for found in (recipe(FULL, tmp_path), read_recipe(LEAST)):
        assert recipe(found.to_toml(), tmp_path) == found
    assert found.to_json()["optim"]["lr"] == 2e-5


def test_the_least_recipe_has_defaults():
    found = read_recipe(LEAST)
    assert found.optim.batch_size == 64
    assert found.objective.name == "infonce"
    assert replace(found.objective, name="cosent").uses_batch is False
    assert replace(found.objective, name="cosine").labels == (-1.0, 1.0)


def changed(table: str, **values: object) -> dict[str, object]:
    return {**LEAST, table: {**LEAST.get(table, {}), **values}}


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (
            changed("optim", batchsize=3),
            r"\[optim\] has the key 'batchsize'.*did you mean 'batch_size' in \[optim\]",
        ),
        (changed("model", batch_size=3), r"\[model\] has the key 'batch_size'.*'batch_size' in \[optim\]"),
        (changed("optim", temprature=1), r"did you mean 'temperature' in \[objective\]"),
        ({**LEAST, "optimizer": {}}, r"the file has the key 'optimizer'.*did you mean 'optim' in the file"),
        (
            changed("dev", zzz=1),
            r"\[dev\] has the key 'zzz'.*Expected: one of metric, every, patience.*\nHint: take it out",
        ),
        (
            {"data": {"sources": [{"path": "a", "colums": {}}]}},
            r"\[data.sources\[0\]\] has the key 'colums'.*'columns'",
        ),
        ({"data": {"sources": [{"name": "a"}]}}, r"\[data.sources\[0\]\] has no path"),
        ({}, r"the file has no data.*Hint: add \[\[data.sources\]\]"),
        ({"data": {}}, r"\[data\] has no sources.*Hint: add \[\[data.sources\]\]"),
        ({"data": {"sources": []}}, r"\[data\]: no sources"),
        (
            {"data": {"sources": "a.jsonl"}},
            r"\[data\]: sources = 'a.jsonl'\nExpected: a list: \[\[data.sources\]\]",
        ),
        (
            {"data": {"sources": [3]}},
            r"\[data\]: sources\[0\] = 3\nExpected: a table, as in \[\[data.sources\]\]",
        ),
        (changed("optim", epochs=1.5), r"\[optim\]: epochs = 1.5\nExpected: a whole number"),
        (changed("optim", lr="high"), r"\[optim\]: lr = 'high'\nExpected: a number"),
        (changed("optim", batch_size=True), r"batch_size = True\nExpected: a whole number"),
        (changed("optim", lr=0), r"\[optim\]: lr = 0.0\nExpected: a number above 0"),
        (changed("optim", warmup=10), r"\[optim\]: warmup = 10.0\nExpected: a share"),
        (changed("optim", chunk=0), r"\[optim\]: chunk = 0\nExpected: at least 1"),
        (changed("optim", ema=0.9, average=0.5), "ema and average"),
        (changed("optim", schedule="linar"), r"schedule = 'linar'\n.*did you mean 'linear'"),
        (changed("model", kind="late2"), r"\[model\]: kind = 'late2'\nExpected: one of bi, dual.*\n.*'late'"),
        (changed("model", late={}), r"\[model\]: a table \[model.late\]\nExpected: kind = \"late\""),
        (changed("model", prompts={"question": "q: "}), r"a prompt for \['question'\]"),
        (changed("model", new={"hidden": 10, "heads": 3}), r"\[model.new\]: hidden = 10\nExpected: a multiple"),
        (changed("objective", name="mnrl"), r"\[objective\]: name = 'mnrl'\nExpected: one of infonce"),
        (changed("objective", name="cosent", margin=1), "margin, which the loss 'cosent' does not have"),
        (changed("objective", matryoshka={"dims": []}), r"\[objective.matryoshka\]: dims = \[\]"),
        (
            {"data": {"sources": [{"path": "a", "scale": [5, 0]}]}},
            r"\[data.sources\[0\]\]: scale \[5.0, 0.0\]",
        ),
        ({"data": {"sources": [{"path": "a"}], "mixing": "weighted", "drop_short": True}}, "one of the two"),
    ],
)
def test_what_is_wrong_is_named_with_its_table(tables, said):
    with pytest.raises(InvalidInput, match=f"(?s)the recipe: .*{said}"):
        read_recipe(tables)


def test_files_that_are_no_recipe(tmp_path):
    with pytest.raises(InvalidInput, match=r"recipe.toml is no TOML: .*line 2"):
        recipe("[model]\nkind = bi\n", tmp_path)
    with pytest.raises(UnreadableFile, match=r"none.toml cannot be read"):
        load_recipe(tmp_path / "none.toml")


def test_the_objectives_settings_are_those_they_have():
    pytest.importorskip("torch")
    from gnomon.train.losses import LOSSES

    assert set(LOSSES) == set(LOSS_SETTINGS)
    for name, made in LOSSES.items():
        taken = [key for key in inspect.signature(made).parameters if key not in ("args", "kwargs")]
        assert set(LOSS_SETTINGS[name]) == set(taken), name


def test_none_of_it_needs_torch():
    named = "gnomon.train.data, gnomon.train.data.batches, gnomon.train.data.checks, gnomon.train.recipe.recipe"
    code = f"import sys, gnomon.train.mining.mine, {named}; print({{'torch', 'transformers'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("table", "key", "value", "meant"),
    [
        ("optim", "learning_rate", 1e-4, r"did you mean 'lr' in \[optim\]"),
        ("optim", "per_device_train_batch_size", 8, r"did you mean 'batch_size' in \[optim\]"),
        ("optim", "zearning", 1, "Hint: take it out"),  # 'learned' of [objective] is no better guess
        ("model", "name", "all-MiniLM-L6-v2", r"did you mean 'backbone' in \[model\]"),
        ("model", "kind", "CrossEncoder", "did you mean 'cross'"),
        ("model", "kind", "bi-encoder", "did you mean 'bi'"),
        ("model", "pooling", "lasttoken", "did you mean 'last'"),
        ("objective", "name", "MultipleNegativesRankingLoss", "did you mean 'infonce'"),
        ("objective", "name", "DistillKLDivLoss", "did you mean 'listwise_kl'"),
    ],
)
def test_names_from_elsewhere_lead_to_those_here(table, key, value, meant):
    with pytest.raises(InvalidInput, match=f"(?s){meant}"):
        read_recipe(changed(table, **{key: value}))


def test_every_name_from_elsewhere_leads_to_one_that_is_here():
    assert set(recipe_module._KEY_ALIASES.values()) <= set(key_paths(Recipe))
    choices = {ModelTable: ("kind", "pooling"), ObjectiveTable: ("name",)}
    values = {one for kind, names in choices.items() for n in names for one in _choices(kind, n)}
    aliases = recipe_module._VALUE_ALIASES
    assert set(aliases.values()) <= values
    assert all(recipe_module._meant_value(name) == meant for name, meant in aliases.items())


def _choices(kind: type, name: str) -> set[str]:
    hint = get_type_hints(kind)[name]
    parts = get_args(hint)
    return {one for part in parts for one in (get_args(part) or (part,)) if isinstance(one, str)}
