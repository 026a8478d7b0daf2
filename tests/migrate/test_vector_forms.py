"""Fewer dimensions and smaller types of the vectors that are there: no text is embedded again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

import gnomon
from gnomon.collection import CollectionSettings
from gnomon.collection.catalog.canaries import CANARIES
from gnomon.collection.systems import resolve
from gnomon.core.contracts import Role
from gnomon.core.errors import InvalidInput
from gnomon.core.vectors import Vectors
from gnomon.encode import StaticEncoder
from gnomon.migrate import Change, MigrateSettings, migrate, plan
from support.version_collections import WORDS, check_sound, documents, text

DOCUMENTS = documents({str(number): f"note {number} {text(number, 0)}" for number in range(40)})
BYTES = {"float32": 2 * 16, "float16": 2 * 16, "int8": 16 + 4, "binary": 2 + 4}


@pytest.fixture
def model(static_model: Callable[..., Path]) -> str:
    return str(static_model("full", dim=16))


def made(folder: Path, model: str, **form: object) -> gnomon.Collection:
    settings = CollectionSettings(model=model, chunk_tokens=20, chunk_overlap=0, **form)  # type: ignore[arg-type]
    kb = gnomon.open(folder, settings=settings)
    kb.add(DOCUMENTS)
    return kb


def stored_sizes(kb: gnomon.Collection) -> set[int]:
    with kb.internals.catalog.read() as connection:
        rows = connection.exec_driver_sql("SELECT length(data) FROM vectors WHERE role = 'document'").all()
    return {row[0] for row in rows}


def rankings(kb: gnomon.Collection) -> list[list[str]]:
    return [[hit.document for hit in kb.search(f"note {n} {WORDS[n]}", k=5, mode="dense")] for n in range(0, 20, 4)]


@pytest.mark.parametrize("vector_type", BYTES)
def test_a_collection_keeps_its_vectors_in_a_type(tmp_path: Path, model: str, vector_type: str) -> None:
    with made(tmp_path / "kb", model, vector_type=vector_type) as kb:
        assert stored_sizes(kb) == {BYTES[vector_type]}
        before = rankings(kb)
        assert all(before)
    with gnomon.open(tmp_path / "kb") as kb:  # the model is loaded with the same form
        assert rankings(kb) == before
        assert kb.version.space.vector_type == vector_type
    wanted = CollectionSettings(vector_type="int8" if vector_type != "int8" else "binary")
    with pytest.raises(InvalidInput, match="vector_type") as caught:
        gnomon.open(tmp_path / "kb", settings=wanted)
    assert "--vector-type" in caught.value.hint


@pytest.mark.parametrize(
    ("form", "size"), [({"vector_type": "int8"}, 20), ({"dim": 8}, 16), ({"dim": 8, "vector_type": "binary"}, 5)]
)
def test_a_migration_to_another_form_embeds_nothing(
    tmp_path: Path, model: str, form: dict[str, object], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = Change(**form)  # type: ignore[arg-type]
    with made(tmp_path / "kb", model) as kb:
        planned = plan(kb, change)
        assert (planned.texts, planned.tokens) == (0, 0)
        assert all(f"--{name.replace('_', '-')} {value}" in planned.commands[0] for name, value in form.items())
        embedded: list[str] = []
        encode = StaticEncoder.encode

        def recorded(self: StaticEncoder, texts: Sequence[str], *, role: Role) -> Vectors:
            embedded.extend(texts if role == "document" else ())
            return encode(self, texts, role=role)

        monkeypatch.setattr(StaticEncoder, "encode", recorded)
        migrate(kb, change, settings=MigrateSettings(switch_if="never"))
        assert set(embedded) <= {canary for _, canary in CANARIES}
        made_version = kb.versions.get("v2")
        assert made_version.space.parent == kb.versions.get("v1").space.fingerprint
        assert stored_sizes(kb) == {32, size}
        kb.versions.switch("v2")
        first = rankings(kb)
    with made(tmp_path / "fresh", model, **form) as fresh:  # the same as if it had been made so
        assert rankings(fresh) == first
        assert fresh.version.space == made_version.space
    check_sound(tmp_path / "kb")


def test_a_collection_compared_with_itself_in_another_type(tmp_path: Path, model: str) -> None:
    with made(tmp_path / "kb", model) as kb:
        queries = {str(n): f"note {n} {WORDS[n]}" for n in range(20)}
        plain = kb.run(queries, mode="dense")
        halved, bits = (kb.run(queries, mode="dense", vector_type=each) for each in ("float16", "binary"))  # type: ignore[arg-type]
        assert stored_sizes(kb) == {32}  # nothing was written
    near = [abs(plain.results[n][d] - score) for n in queries for d, score in halved.results[n].items()]
    far = [abs(plain.results[n][d] - score) for n in queries for d, score in bits.results[n].items()]
    assert max(near) < 1e-3 < max(far)
    assert bits.about["vector_type"] == "binary"
    system = resolve(f"{tmp_path / 'kb'}:dense#int8")
    assert (system.mode, system.vector_type) == ("dense", "int8")  # type: ignore[union-attr]
    with pytest.raises(InvalidInput, match="the vector type 'int3'"):
        resolve(f"{tmp_path / 'kb'}#int3")


def test_rounded_scores_are_those_of_the_rounded_vectors(tmp_path: Path, model: str) -> None:
    with made(tmp_path / "kb", model, vector_type="binary") as kb:
        hit = kb.search("note 3", k=1, mode="dense")[0]
        query = kb.encoder.encode(["note 3"], role="query").data[0]
        row = kb.encoder.encode([hit.text], role="document").data[0]
        assert set(np.sign(row)) <= {-1.0, 1.0}
        assert len(set(np.abs(row).round(6))) == 1
        assert hit.score == pytest.approx(float(query @ row / np.linalg.norm(query) / np.linalg.norm(row)), abs=2e-3)
