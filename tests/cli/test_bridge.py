"""gnomon bridge: measured, shown, kept where it is allowed."""

import json

import numpy as np
import pytest

import gnomon
from gnomon.cli.main import run
from gnomon.core.documents import Document
from gnomon.core.errors import UnreadableFile
from gnomon.evolve.asked import read_queries
from gnomon.evolve.bridge_files import load_bridge
from gnomon.testing.toys import HashEncoder

from .conftest import TOPICS


@pytest.fixture
def many(tmp_path):
    """A collection of 2,100 short documents."""
    draws = np.random.default_rng(0)
    with gnomon.open(tmp_path / "many", encoder=HashEncoder(32)) as kb:
        kb.add(Document(str(n), f"{' '.join(draws.choice(TOPICS, 6))} n{n}") for n in range(2100))
    return tmp_path / "many"


def test_what_is_measured_is_shown(many, model, tmp_path, capsys):
    code = run(["bridge", str(many), "--to", str(model), "--out", str(tmp_path / "kept")])
    out = capsys.readouterr().out
    assert code in (0, 1)
    assert "vectors of hash-32 (32-d" in out
    assert "fitted on 2,100 passages" in out
    assert "the old model finds" in out
    assert ("allowed" in out and "yes" in out) if code == 0 else "no: 50% is wanted" in out
    assert (tmp_path / "kept").exists() == (code == 0)
    capsys.readouterr()
    assert run(["bridge", str(many), "--to", str(model), "--json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert found["allowed"] == (code == 0)
    assert found["pairs"] == 2100
    assert 0 <= found["low"] <= found["recall"] <= found["high"] <= 1
    if code == 0:
        assert load_bridge(tmp_path / "kept").measured.recall == found["recall"]


def test_queries_of_a_file(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("\n\n".join(f"about the {topic} and n{n}" for n, topic in enumerate(TOPICS * 2)))
    assert len(read_queries(log)) == 32


def test_what_is_wrong_is_said(kb, many, model, tmp_path, capsys):
    assert run(["bridge", str(kb), "--to", str(model)]) == 2
    assert "16 pairs of passages" in capsys.readouterr().err
    assert run(["bridge", str(many), "--to", str(model), "--queries", str(tmp_path / "none")]) == 2
    assert "cannot be read after line 0" in capsys.readouterr().err
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UnreadableFile, match="bytes"):
        read_queries(tmp_path / "bytes")
