"""A search that ends with a second model: loaded by name, held to be the same, part of a version."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gnomon.collection import Collection, CollectionSettings, RetrievalSettings
from gnomon.core.errors import InvalidInput, ModelUnsupported, WeightsMismatch
from gnomon.core.ranking import Query
from gnomon.encode import load_scorer
from gnomon.encode.layout.modules import MAXSIM_SCORE
from gnomon.migrate import migrate
from gnomon.migrate.change import change_retrieval
from gnomon.retrieve import Rerank, RerankSettings

QUESTION = "a drink that needs hot water"


@pytest.fixture(scope="module")
def matching(minilm_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MiniLM as a cross-encoder that matches tokens: no training, no torch."""
    folder = tmp_path_factory.mktemp("models") / "matching"
    shutil.copytree(minilm_folder, folder)
    (first, *_) = json.loads((folder / "modules.json").read_text())
    rows = [first, {"idx": 1, "name": "1", "path": "1_MaxSimScore", "type": MAXSIM_SCORE}]
    (folder / "modules.json").write_text(json.dumps(rows))
    (folder / "1_MaxSimScore").mkdir()
    score = {"frame": [0, 101, 102], "separator": 102}
    (folder / "1_MaxSimScore" / "config.json").write_text(json.dumps(score))
    told = {"model_type": "CrossEncoder", "activation_fn": "torch.nn.modules.linear.Identity"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(told))
    return folder


def settings(model: Path, **more: object) -> CollectionSettings:
    return CollectionSettings(retrieval=RetrievalSettings(rerank=RerankSettings(str(model), **more)))  # type: ignore[arg-type]


def order(kb: Collection) -> list[str]:
    return [Path(hit.document).name for hit in kb.search(QUESTION)]


def test_it_orders_what_the_search_finds(
    opened: Callable[..., Collection], docs: Path, matching: Path, tmp_path: Path
) -> None:
    kb = opened(settings=settings(matching, weight=1.0))
    kb.index([docs])
    hits = kb.search(QUESTION)
    assert Path(hits[0].document).name == "tea.txt"
    assert {"found", "rerank", "dense", "lexical"} <= set(hits[0].stages)
    by_hand = Rerank(kb.retriever("dense"), load_scorer(matching), kb.internals.lookups().texts_of)
    # Put twice over the same: what reranks by one score alone does not mind.
    (ranking,) = by_hand([Query(QUESTION)], k=10)
    np.testing.assert_allclose([hit.score for hit in hits], ranking.scores, rtol=1e-5)
    own = kb.run({"q": QUESTION})
    assert [Path(name).name for name in own.results["q"]] == list(dict.fromkeys(order(kb)))
    (lone,) = kb.internals.rerank(kb.retriever("lexical"))([Query("shadow")], k=3)
    assert "rerank" in lone.stages


def test_it_is_there_when_the_collection_is_opened_again(
    opened: Callable[..., Collection], docs: Path, matching: Path
) -> None:
    kb = opened(settings=settings(matching))
    kb.index([docs])
    first = order(kb)
    kb.close()
    assert order(opened()) == first
    assert order(opened(settings=settings(matching))) == first
    with pytest.raises(InvalidInput, match="rerank"):
        opened(settings=settings(matching, depth=5))


def test_another_model_in_its_place_is_refused(
    opened: Callable[..., Collection], docs: Path, matching: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(matching, tmp_path / "mine")
    kb = opened(settings=settings(folder))
    kb.index([docs])
    kb.close()
    (folder / "1_MaxSimScore" / "config.json").write_text(json.dumps({"frame": [0, 101], "separator": 102}))
    with pytest.raises(WeightsMismatch, match="another model") as caught:
        opened().search(QUESTION)
    assert "gnomon rollback" in caught.value.hint  # migrating would ask the live version, and fail


def test_late_interaction_may_be_the_second_model(
    opened: Callable[..., Collection], docs: Path, tmp_path: Path
) -> None:
    pytest.importorskip("sentence_transformers")
    from support import sentence_transformers_models as st_models

    folder, _ = st_models.late(tmp_path / "late")
    kb = opened(settings=settings(folder, depth=2))
    kb.index([docs])
    first = kb.search(QUESTION)
    assert ["late" in hit.stages for hit in first[:3]] == [True, True, False]
    assert kb.search(QUESTION) == first, "the second time token vectors are remembered"


def test_a_model_of_vectors_is_refused(opened: Callable[..., Collection], minilm_folder: Path) -> None:
    with pytest.raises(ModelUnsupported, match="does not rerank"):
        opened(settings=settings(minilm_folder))


@pytest.mark.parametrize("wrong", [{"model": ""}, {"model": "m", "depth": 0}, {"model": "m", "weight": 0.0}])
def test_settings_out_of_range(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        RerankSettings(**wrong)  # type: ignore[arg-type]


def test_the_weight_is_read_by_its_old_name_from_old_catalogs() -> None:
    written = RetrievalSettings(rerank=RerankSettings("model", weight=0.4)).to_json()
    assert written["rerank"]["weight"] == 0.4
    old = {**written, "rerank": {"model": "model", "depth": 30, "share": 0.4, "fingerprint": ""}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert RetrievalSettings.from_json(old) == RetrievalSettings.from_json(written)


def test_the_weight_is_set_by_its_old_name_with_a_line_that_says_the_new_one() -> None:
    base = RetrievalSettings(rerank=RerankSettings("model", weight=0.4))
    with pytest.warns(FutureWarning, match=r"rerank\.share is now rerank\.weight"):
        changed = change_retrieval(base, {"rerank.share": 0.6})
    assert changed == RetrievalSettings(rerank=RerankSettings("model", weight=0.6))


def test_a_version_gets_one_and_loses_it(opened: Callable[..., Collection], docs: Path, matching: Path) -> None:
    kb = opened()
    kb.index([docs])
    plain = order(kb)
    done = migrate(kb, retrieval={"rerank.model": str(matching), "rerank.weight": 1.0})
    assert (done.gate, done.version, done.texts) == ("unproven", "v2", 0), "no vector is made anew"
    kb.switch("v2")
    assert kb.version.retrieval.rerank is not None
    assert len(kb.version.retrieval.rerank.fingerprint) == 64
    assert "rerank" in kb.search(QUESTION)[0].stages
    kb.rollback()
    assert order(kb) == plain
    with pytest.raises(InvalidInput, match=r"rerank\.nearness"):
        migrate(kb, retrieval={"rerank.nearness": 2})


def test_an_instruction_is_kept_and_is_part_of_the_reranker(
    opened: Callable[..., Collection], docs: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "reranker"
    pytest.importorskip("support.logit_rerankers").decoder(folder, max_tokens=512)
    kb = opened(settings=settings(folder, instruction="Find tea"))
    kb.index([docs])
    assert "rerank" in kb.search(QUESTION)[0].stages
    first = kb.version.retrieval
    assert first.rerank is not None
    assert first.rerank.fingerprint == load_scorer(folder, instruction="Find tea").fingerprint
    changed = change_retrieval(first, {"rerank.instruction": "Find coffee"}).rerank
    assert changed is not None
    assert (changed.instruction, changed.fingerprint) == ("Find coffee", ""), "it is looked up anew"


def test_an_instruction_that_nothing_reads_is_refused(opened: Callable[..., Collection], matching: Path) -> None:
    with pytest.raises(InvalidInput, match="reads a query and a text as they are"):
        opened(settings=settings(matching, instruction="Find tea"))
