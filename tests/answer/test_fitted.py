"""The weights that ship agree with their provenance, and the fits write such files."""

import json
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from tools.fit import abstention, extraction, support

from gnomon.answer import extractive
from gnomon.answer.abstention import ANSWER_THRESHOLD, SIGNAL_NAMES, THRESHOLD
from gnomon.answer.fitted import FittedModel, load_fitted, read_fitted
from gnomon.answer.verification.verifier import FEATURES, MIN_SUPPORT

MODELS = {"abstention": SIGNAL_NAMES, "support": FEATURES, "extraction": extractive.FEATURES}
RECORD = {"digest", "command", "date", "model", "examples", "inputs", "libraries"}


@pytest.mark.parametrize("name", MODELS)
def test_what_ships_agrees_with_its_provenance(name):
    model, record = load_fitted(name), read_fitted(name)["provenance"]
    assert set(record) == RECORD
    assert record["digest"] == model.digest
    assert record["command"].startswith("python ")
    assert date.fromisoformat(record["date"]) >= date(2026, 11, 1)
    assert record["model"] == "all-MiniLM-L6-v2"
    assert record["examples"]
    assert tuple(model.weights) == MODELS[name]
    assert model.threshold > 0


def test_a_changed_number_has_another_digest():
    model = load_fitted("support")
    assert replace(model, bias=model.bias + 0.01).digest != model.digest
    assert replace(model, weights={**model.weights, "words": 9.0}).digest != model.digest
    assert replace(model, threshold=0.5).digest != model.digest


def test_the_thresholds_in_use_are_the_fitted_ones():
    assert load_fitted("abstention").threshold == THRESHOLD
    assert load_fitted("abstention").answer_threshold == ANSWER_THRESHOLD
    assert 0 < THRESHOLD < ANSWER_THRESHOLD < 1
    assert 0 < load_fitted("support").threshold == MIN_SUPPORT < 1
    assert load_fitted("extraction").threshold == extractive.MARGIN


def written(path):
    plain = json.loads(path.read_text())
    model = FittedModel(plain["weights"], plain["bias"], plain["threshold"], plain.get("answer_threshold"))
    assert set(plain["provenance"]) == RECORD
    assert plain["provenance"]["digest"] == model.digest
    return model, plain["provenance"]


def test_abstention_is_fitted_to_signals(tmp_path):
    pytest.importorskip("scipy")
    draws = np.random.default_rng(0)
    there = draws.normal([0.8, 0.6, 0.5, 0.1, 0.4], 0.1, (80, 5)).tolist()
    gone = draws.normal([0.3, 0.3, 0.2, 0.1, 0.4], 0.1, (80, 5)).tolist()
    plain = {
        "questions": [f"q{at}" for at in range(80)],
        "names": SIGNAL_NAMES,
        "signals": {abstention.WHOLE: there, "document removed": gone},
        "evidence": {abstention.WHOLE: [True] * 80, "document removed": [False] * 80},
    }
    source = tmp_path / "toy.hybrid.json"
    source.write_text(json.dumps(plain))
    abstention.main([source], tmp_path / "abstention.json")
    model, record = written(tmp_path / "abstention.json")
    assert record["examples"] == {"toy": 80}
    assert len(record["inputs"]["toy.hybrid.json"]) == 64
    odds = abstention.log_odds(model.weights, model.bias, abstention.SignalFile(source))
    assert odds[abstention.WHOLE].min() > odds["document removed"].mean()
    assert model.threshold <= model.answer_threshold
    possible = np.log(model.threshold / (1 - model.threshold)) - 0.01
    assert np.mean(odds[abstention.WHOLE] >= possible) >= abstention.KEPT
    source.write_text(json.dumps({**plain, "names": ["other"]}))
    with pytest.raises(ValueError, match="has the signals"):
        abstention.main([source], tmp_path / "abstention.json")


def test_support_is_fitted_to_examples(tmp_path):
    pytest.importorskip("scipy")
    draws = np.random.default_rng(0)
    lines = []
    for at in range(60):
        supported = at % 2 == 0
        table = draws.uniform(0, 0.2, (3, len(FEATURES)))
        table[1, :3] += 0.7 * supported
        row = {"table": table.tolist(), "refused": [False, False, True], "supported": supported}
        lines.append(json.dumps({**row, "source": "toy", "kind": "said" if supported else "unsaid"}))
    source = tmp_path / "support.jsonl"
    source.write_text("\n".join(lines))
    support.main(source, tmp_path / "support.json")
    model, record = written(tmp_path / "support.json")
    assert record["examples"] == {"toy": 60}
    assert model.threshold == MIN_SUPPORT
    assert model.weights["similarity"] > 0


def test_extraction_is_fitted_to_what_is_right(tmp_path):
    pytest.importorskip("scipy")
    draws = np.random.default_rng(0)
    rows = []
    for _ in range(40):
        table = draws.uniform(0, 0.2, (5, len(extractive.FEATURES)))
        table[2, extractive.FEATURES.index("named")] = 1.0
        rows.append(json.dumps({"source": "toy", "table": table.tolist(), "right": [False, False, True, False, False]}))
    source = tmp_path / "extraction.jsonl"
    source.write_text("\n".join(rows))
    extraction.main(source, tmp_path / "extraction.json")
    model, record = written(tmp_path / "extraction.json")
    assert record["examples"] == {"toy": 40}
    assert model.weights["named"] > 1
    assert model.weights["reference"] <= extraction.LIMITS["reference"]
