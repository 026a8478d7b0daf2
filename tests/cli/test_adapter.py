"""gnomon adapter, and searches of a version that is being built."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import gnomon
from gnomon.cli.main import run
from gnomon.cli.rendering.migration import MigrationProgress, print_migration
from gnomon.cli.terminal import data_console
from gnomon.core.documents import Document
from gnomon.core.errors import UnreadableFile
from gnomon.migrate import MigrateSettings, Prefill, embedding_coverage, migrate, status
from gnomon.migrate.adapter.files import load_adapter
from gnomon.migrate.query_log import read_queries
from gnomon.testing.toys import HashEncoder
from support.judged_topics import TOPICS


@pytest.fixture
def many(tmp_path):
    """A collection of 2,100 short documents."""
    draws = np.random.default_rng(0)
    with gnomon.open(tmp_path / "many", encoder=HashEncoder(32)) as kb:
        kb.add(Document(str(n), f"{' '.join(draws.choice(TOPICS, 6))} n{n}") for n in range(2100))
    return tmp_path / "many"


def test_the_measured_quality_is_shown(many, model, tmp_path, capsys):
    code = run(["adapter", str(many), "--to", str(model), "--out", str(tmp_path / "kept")])
    out = capsys.readouterr().out
    assert code in (0, 1)
    assert "vectors of hash-32 (32-d" in out
    assert "fitted on 2,100 passages" in out
    assert "the old model finds" in out
    assert ("allowed" in out and "yes" in out) if code == 0 else "no: 50% is required" in out
    assert (tmp_path / "kept").exists() == (code == 0)
    capsys.readouterr()
    assert run(["adapter", str(many), "--to", str(model), "--json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert found["allowed"] == (code == 0)
    assert found["pairs"] == 2100
    assert 0 <= found["low"] <= found["recall"] <= found["high"] <= 1
    if code == 0:
        assert load_adapter(tmp_path / "kept").quality.recall == found["recall"]


def test_queries_are_read_from_a_file(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("\n\n".join(f"about the {topic} and n{n}" for n, topic in enumerate(TOPICS * 2)))
    assert len(read_queries(log)) == 32


def test_unusable_input_is_reported(kb, many, model, tmp_path, capsys):
    assert run(["adapter", str(kb), "--to", str(model)]) == 2
    assert "16 pairs of passages" in capsys.readouterr().err
    assert run(["adapter", str(many), "--to", str(model), "--queries", str(tmp_path / "none")]) == 2
    assert "no such file" in capsys.readouterr().err
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UnreadableFile, match="bytes"):
        read_queries(tmp_path / "bytes")


@pytest.fixture
def half_built(model, tmp_path):
    """A collection whose v2 was stopped when its adapter served, and a part was embedded."""
    folder = tmp_path / "bent-model"
    shutil.copytree(model, folder)
    vectors = load_file(model / "model.safetensors")["embeddings"]
    # The same words about other axes, some of which count far more: a linear map knows, the old model not.
    turned = np.linalg.qr(np.random.default_rng(1).normal(size=(vectors.shape[1],) * 2))[0]
    bent = (vectors @ (turned * np.geomspace(0.1, 4, vectors.shape[1]))).astype(np.float32)
    save_file({"embeddings": bent}, folder / "model.safetensors")
    draws = np.random.default_rng(0)
    settings = gnomon.CollectionSettings(model=str(model))
    with gnomon.open(tmp_path / "half", settings=settings) as kb:
        kb.add(Document(str(n), " ".join(draws.choice(TOPICS, 6))) for n in range(300))

        def stop_soon(at):
            if at.adapter is not None:
                (tmp_path / "half" / "migration" / "stop").touch()

        ahead = Prefill(adapter=True, pairs=200, min_pairs=200)
        at = migrate(kb, folder, settings=MigrateSettings(prefill=ahead), on_state=stop_soon)
        assert (at.outcome, at.adapter["serves"]) == ("stopped", True)
    return tmp_path / "half"


def test_a_version_being_built_is_searched_by_both_indexes(half_built, capsys):
    asked = ["search", str(half_built), "whale violin compass", "--version", "v2", "--mode", "dense"]
    assert run([*asked, "-k", "30", "--json"]) == 0
    hits = json.loads(capsys.readouterr().out)["hits"]
    sides = [hit["side"] for hit in hits]
    assert set(sides) == {"new", "adapter"}
    assert all(("adapter" in hit["stages"]) == (hit["side"] == "adapter") for hit in hits)
    assert run([*asked, "-k", "30"]) == 0
    said = f"Found by new vectors: {sides.count('new')}, the adapter: {sides.count('adapter')}."
    assert said in capsys.readouterr().out
    assert run([*asked[:3], "--mode", "dense", "--json"]) == 0
    live = json.loads(capsys.readouterr().out)["hits"]
    assert "side" not in live[0]
    assert run([*asked[:3], "--version", "v1", "--mode", "dense", "--json"]) == 0
    assert [hit["chunk"] for hit in json.loads(capsys.readouterr().out)["hits"]] == [h["chunk"] for h in live]
    assert run([*asked[:4], "v7"]) == 2
    assert "has no version v7" in capsys.readouterr().err


def test_the_status_shows_the_coverage_and_the_adapter(half_built, capsys):
    assert run(["migrate", str(half_built), "--status"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"serves: gnomon search {half_built} QUESTION --version v2; finds " in out
    assert "at least 50% is required" in out
    with gnomon.open(half_built) as kb:
        over = embedding_coverage(kb, "v2")
    assert f"new vectors {over.share:.1%}, {over.embedded} of 300 passages" in out
    assert run(["migrate", str(half_built), "--status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["embedded"], found["pending"]) == (over.embedded, over.pending) == (200, 100)
    assert found["adapter"]["serves"] is True


def test_a_refused_adapter_is_shown_with_the_reason(half_built, capsys):
    (half_built / "migration" / "v2.adapter").unlink()
    assert run(["search", str(half_built), "whale", "--version", "v2"]) == 2
    assert "there is no adapter to v2" in " ".join(capsys.readouterr().err.split())
    at = status(half_built)
    refused = replace(at, adapter={"serves": False, "why": "it finds 1% of it", "expected": "at least 50%"})
    bar = MigrationProgress(data_console())
    for now in (at, replace(at, order="as they stand"), refused):  # each is said once
        bar.show(now)
    out = capsys.readouterr().out
    assert out.count("serves: ") == out.count("order  as they stand") == 1
    print_migration(data_console(), refused)
    out = " ".join(capsys.readouterr().out.split())
    assert "none, v1 answers until the build is done: it finds 1% of it; at least 50% is required" in out


def test_options_that_do_not_fit_an_adapter_are_refused(half_built, tmp_path, capsys):
    given = ["migrate", str(half_built), "--to", str(tmp_path / "bent-model")]
    assert run([*given, "--query-log", str(tmp_path / "log.txt")]) == 2
    assert "--hot-first, --adapter, or both" in " ".join(capsys.readouterr().err.split())
    assert run([*given, "--chunk-tokens", "8", "--adapter", "--foreground"]) == 2
    assert "--adapter with new passages" in " ".join(capsys.readouterr().err.split())
