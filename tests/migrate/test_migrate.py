"""Migrations in this process: built, judged, switched to or not, stopped and resumed."""

from __future__ import annotations

import json
import re
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from gnomon.collection import Collection
from gnomon.collection.catalog.versions import NotReady
from gnomon.core.errors import CollectionBusy, InvalidInput, StorageError
from gnomon.migrate import Change, GateSettings, MigrateSettings, Migration, migrate, status, stop
from gnomon.migrate.migration import run_migration
from gnomon.migrate.state import FOLDER, LOCK, STATE, STOP, error_from_plain
from support.version_collections import documents, one, opened, served, text, three, two


@pytest.fixture
def queries(tmp_path: Path) -> str:
    """A judged query for each document, by its own words: both toys find it."""
    return write_queries(tmp_path / "queries.jsonl", 30)


def write_queries(path: Path, many: int) -> str:
    rows = [{"id": f"q{n}", "query": f"note n{n}t0 {text(n)[12:40]}", "relevant": [str(n)]} for n in range(many)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def judged(queries: str, **settings: object) -> MigrateSettings:
    gate = {name: settings.pop(name) for name in ("margin", "segment", "metric") if name in settings}
    return MigrateSettings(gate=GateSettings(queries=queries, **gate), **settings)


def states(kb: Collection) -> dict[str, str]:
    return {info.name: info.state for info in kb.versions.list()}


def test_a_migration_switches_to_another_model(kb: Collection, queries: str, tmp_path: Path) -> None:
    heard: list[Migration] = []
    done = migrate(kb, two(), settings=judged(queries, margin=0.2), on_state=heard.append)
    assert (done.outcome, done.stage, done.version, done.live) == ("switched", "over", "v2", "v1")
    assert done.switch_seconds is not None
    assert (done.tokens, done.texts) == (done.tokens_done, done.texts_done) != (0, 0)
    assert done.why.startswith("v2 is live in place of v1. v2 is ")
    assert states(kb) == {"v1": "ready", "v2": "live"}
    assert served(kb).keys() == {str(n) for n in range(30)}
    stages = list(dict.fromkeys(each.stage for each in heard))
    assert stages == ["checking", "building", "indexing", "judging", "switching", "over"]
    kept = json.loads((tmp_path / "kb/reports/v2/gate.json").read_text())
    assert (kept["baseline"], kept["version"], kept["outcome"]) == ("v1", "v2", done.gate)
    assert kept["queries"] == 30
    page = (tmp_path / "kb/reports/v2/gate.html").read_text()
    assert "v2 against v1" in page
    assert "data:image/png;base64," in page
    assert re.search(r'<th scope="col"\s+class="number">v2</th>', page)
    assert "30: queries</td>" in page  # the name of a file of queries once, and no number
    now = status(tmp_path / "kb")
    assert now == replace(done, running=False)
    assert kb.rollback().to == "v1"


def test_a_worse_candidate_is_not_switched_to(kb: Collection, queries: str) -> None:
    deaf = Deaf(64, salt="deaf", max_tokens=48)
    done = migrate(kb, deaf, settings=judged(queries))
    assert (done.outcome, done.gate) == ("refused", "worse")
    assert "v2 is built but not switched to, expected: not worse, or better. v2 is worse than v1" in done.why
    assert states(kb) == {"v1": "live", "v2": "ready"}


class Deaf(type(one())):  # type: ignore[misc]
    """Hears one word of each text."""

    def encode(self, texts, *, role):  # type: ignore[no-untyped-def]
        return super().encode([each[:1] for each in texts], role=role)


def test_a_better_outcome_may_be_required(kb: Collection, queries: str) -> None:
    done = migrate(kb, two(), settings=judged(queries, margin=0.2, switch_if="better"))
    assert (done.outcome, done.gate) == ("refused", "not worse")
    again = migrate(kb, two(), settings=judged(queries, margin=0.2))  # what is built is judged once more
    assert (again.outcome, again.version, again.tokens) == ("switched", "v2", 0)


def test_switch_if_never_leaves_the_version_ready(kb: Collection, queries: str) -> None:
    done = migrate(kb, two(), settings=judged(queries, switch_if="never"))
    assert done.outcome == "ready"
    assert done.why.startswith("v2 is ready; no switch was requested.")
    assert states(kb) == {"v1": "live", "v2": "ready"}


def test_without_judged_queries_a_switch_needs_without_proof(kb: Collection) -> None:
    done = migrate(kb, two())
    assert (done.outcome, done.gate) == ("refused", "unproven")
    assert "give judged queries with --queries, or --without-proof" in done.why
    assert states(kb)["v1"] == "live"
    done = migrate(kb, two(), settings=MigrateSettings(without_proof=True))
    assert (done.outcome, states(kb)["v2"]) == ("switched", "live")


def test_a_broken_candidate_is_refused_even_without_proof(kb: Collection) -> None:
    done = migrate(kb, Deaf(64, salt="deaf"), settings=MigrateSettings(without_proof=True))
    assert (done.outcome, done.gate) == ("refused", "broken")
    assert "v2 is broken: " in done.why
    assert states(kb)["v1"] == "live"


def test_chunks_and_search_settings_are_migrated_too(kb: Collection, queries: str) -> None:
    done = migrate(kb, chunk_tokens=12, retrieval={"fuse.weights": [0.2, 0.8]}, settings=judged(queries, margin=0.2))
    assert done.outcome == "switched"
    assert kb.version.chunking["max_tokens"] == 12
    assert kb.version.retrieval.fuse.weights == (0.2, 0.8)
    assert kb.version.space == one().space


def test_a_stopped_migration_is_resumed(kb: Collection, queries: str, tmp_path: Path) -> None:
    encoder = type(two())(64, salt="fresh", max_tokens=48)

    def stop_soon(at: Migration) -> None:
        if at.texts_done >= 40:
            (tmp_path / "kb" / FOLDER / STOP).touch()

    done = migrate(kb, encoder, settings=judged(queries, margin=0.2), on_state=stop_soon)
    assert (done.outcome, done.version) == ("stopped", "v2")
    assert 0 < done.texts_done < done.texts
    assert states(kb) == {"v1": "live", "v2": "building"}
    found = status(tmp_path / "kb")
    assert found is not None
    assert (found.outcome, found.running) == ("stopped", False)
    kb.add(documents({"late": text(5, 2)}))
    again = migrate(kb, encoder, settings=judged(queries, margin=0.2))
    assert (again.outcome, again.version) == ("switched", "v2")
    assert encoder.encoded >= done.texts  # one document more
    assert done.texts_done + again.texts_done == encoder.encoded
    assert "late" in served(kb)


def test_ctrl_c_stops_the_migration(kb: Collection, tmp_path: Path) -> None:
    def interrupt(at: Migration) -> None:
        if at.texts_done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        migrate(kb, two(), on_state=interrupt)
    found = status(tmp_path / "kb")
    assert found is not None
    assert (found.outcome, found.stage) == ("stopped", "building")


def test_a_second_migration_is_refused_by_name(kb: Collection, tmp_path: Path) -> None:
    second: list[str] = []

    def begin_another(at: Migration) -> None:
        if at.stage == "building" and not second:
            with pytest.raises(CollectionBusy) as refused:
                run_migration(kb, Change(), MigrateSettings())
            second.append(str(refused.value))

    migrate(kb, two(), on_state=begin_another)
    assert "is running: v2 with hash-64-two" in second[0]
    assert "building, started 20" in second[0]
    assert "--stop ends it" in second[0]


def test_a_killed_migration_is_reported_as_killed(kb: Collection, tmp_path: Path) -> None:
    assert status(tmp_path / "kb") is None
    (tmp_path / "kb" / FOLDER).mkdir()
    left = Migration(str(tmp_path / "kb"), run="x", pid=123, stage="building", running=True)
    (tmp_path / "kb" / FOLDER / STATE).write_text(json.dumps({**left.to_json(), "of a later release": 1}))
    found = status(tmp_path / "kb")
    assert found is not None
    assert (found.outcome, found.running) == ("killed", False)
    assert "process 123" in found.why
    with FileLock(tmp_path / "kb" / FOLDER / LOCK):
        assert status(tmp_path / "kb").running is True
        with pytest.raises(CollectionBusy, match=r"has not stopped after 0\.1 s"):
            stop(tmp_path / "kb", wait_s=0.1)
    with pytest.raises(InvalidInput, match="no migration of"):
        stop(tmp_path / "kb")


def test_impossible_migrations_fail_before_anything_is_built(
    kb: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = write_queries(tmp_path / "few.jsonl", 9)
    with pytest.raises(InvalidInput, match="has 9 queries with a relevant document: too few for a gate"):
        migrate(kb, two(), settings=judged(few))
    with pytest.raises(InvalidInput, match="nothing to do"):
        migrate(kb, one())
    with pytest.raises(InvalidInput, match="longer than the 10 tokens"):
        migrate(kb, replace_max(10))
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 10**6, 10**6))
        with pytest.raises(StorageError, match="1 MB are free"):
            migrate(kb, two())
    assert states(kb) == {"v1": "live"}
    found = status(tmp_path / "kb")
    assert found is not None
    assert (found.outcome, found.running) == ("failed", False)
    assert isinstance(error_from_plain(found.error or {}), StorageError)
    with pytest.raises(InvalidInput, match="no former version"):
        kb.rollback()


def replace_max(tokens: int) -> object:
    return type(one())(64, salt="short", max_tokens=tokens)


def test_a_version_that_falls_behind_at_the_switch_stays_ready(
    kb: Collection, queries: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise NotReady("v2 is 3 documents behind", expected="none", hint="again")

    monkeypatch.setattr(kb.versions, "switch", never)
    done = migrate(kb, two(), settings=judged(queries, margin=0.2))
    assert (done.outcome, states(kb)["v2"]) == ("ready", "ready")
    assert "was not switched to: v2 is 3 documents behind" in done.why


def test_settings_are_checked(queries: str) -> None:
    with pytest.raises(InvalidInput, match="--without-proof with --queries"):
        judged(queries, without_proof=True)
    with pytest.raises(InvalidInput, match="switch_if 'always'"):
        MigrateSettings(switch_if="always")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="above 0, at most 1"):
        MigrateSettings(cpu_share=0)
    settings = judged(queries, segment="kind", cpu_share=0.25)
    assert MigrateSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


def test_documents_added_by_another_process_are_in_the_new_version(
    kb: Collection, tmp_path: Path, queries: str
) -> None:
    """Another process' collection adds while this one builds: the new version has it at the switch."""
    with opened(tmp_path / "kb") as other:
        added: list[str] = []

        def add(at: Migration) -> None:
            if at.stage in ("building", "judging") and at.stage not in added:
                added.append(at.stage)
                other.add(documents({f"in {at.stage}": text(len(added), 1)}))

        done = run_migration(kb, Change("two"), judged(queries, margin=0.2), encoder=two(), on_state=add)
        assert done.outcome == "switched"
        assert {"in building", "in judging"} <= served(kb).keys()
        assert three().space != kb.version.space == two().space
