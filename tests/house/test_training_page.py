"""docs/training.md is true of the code: its keys, recipes and rows of data. Figures are shown as found."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tools import recipe_keys

from gnomon.core.errors import InvalidInput
from gnomon.train.data.source import open_source
from gnomon.train.recipe.recipe import load_recipe, read_recipe
from gnomon.train.recipe.tables import LOSS_SETTINGS

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
RECIPES = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
ROWS = re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)


def test_the_key_tables_are_those_of_the_code() -> None:
    assert recipe_keys.with_keys(GUIDE) == GUIDE, "python tools/recipe_keys.py"


def test_each_key_has_a_meaning_and_each_meaning_a_key() -> None:
    assert {way for way, _, _ in recipe_keys.all_keys()} == set(recipe_keys.MEANINGS)


def test_an_old_table_is_replaced() -> None:
    old = GUIDE.replace("| `lr` | number | `2e-05` |", "| `lr` | number | `3e-05` |")
    assert old != GUIDE
    assert recipe_keys.with_keys(old) == GUIDE


@pytest.mark.parametrize("text", RECIPES)
def test_each_recipe_is_one(text: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(text, encoding="utf-8")
    recipe = load_recipe(tmp_path / "recipe.toml")
    assert recipe == read_recipe(tomllib.loads(text))
    assert all(one.path.endswith((".jsonl", ".tsv")) for one in recipe.data.sources)


def test_a_recipe_with_a_wrong_key_would_be_found() -> None:
    with pytest.raises(InvalidInput, match="unknown"):
        read_recipe(tomllib.loads(RECIPES[0].replace("epochs", "epoch")))


def test_there_is_a_recipe_for_each_kind_and_a_row_for_each_form(tmp_path: Path) -> None:
    recipes = [read_recipe(tomllib.loads(text)) for text in RECIPES]
    assert {one.model.kind for one in recipes} == {"bi", "dual", "late", "cross", "static"}
    assert {one.objective.name for one in recipes} <= set(LOSS_SETTINGS)
    assert any(one.objective.name == "cosent" for one in recipes)
    assert any(one.model.teacher for one in recipes)
    forms = []
    for number, row in enumerate(ROWS):
        path = tmp_path / f"{number}.jsonl"
        path.write_text(row, encoding="utf-8")
        source = open_source(path)
        assert source[0].query
        forms.append(source.form)
    # A list of negatives is one column, and so a triplet's.
    assert forms == ["pairs", "triplets", "scored", "triplets", "n-tuples", "parallel"]


@pytest.mark.parametrize("name", ["training.md", "training-figures.md"])
def test_each_link_leads_somewhere(name: str) -> None:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    heads = {re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-") for h in re.findall(r"^#+ (.*)$", text, re.M)}
    for link in re.findall(r"\]\(([^)]+)\)", text):
        path, _, place = link.partition("#")
        assert (ROOT / "docs" / path).exists() if path else place in heads


SPEED = {
    "rounds": [{"gnomon": 33.1, "reference_bf16": 20.2}, {"gnomon": 32.0, "reference_bf16": 20.0}],
    "ratios": [1.64, 1.6],
    "reference_fp32": 12.5,
}
RUN = {"steps": 190, "pairs_a_cpu_s": 25.5, "wall_s": 600.0, "ndcg_at_10": 0.7123}
GAIN = {"set": "stsb", "split": "test", "metric": "Spearman", "start": 0.82, "end": 0.85}
