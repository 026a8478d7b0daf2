"""`examine`: everything that is looked at in a collection, in order; and mending it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

from sqlalchemy import func, select

from gnomon.collection.catalog import queries, schema, versions
from gnomon.collection.collection import Collection
from gnomon.core.contracts import Encoder
from gnomon.core.errors import GnomonError, InvalidInput
from gnomon.core.progress import Progress, ProgressCallback, accepts_say, no_progress
from gnomon.core.space import Space
from gnomon.doctor import catalog_checks, index_checks, model_checks, text_checks, vector_checks
from gnomon.doctor.context import Look, look_at
from gnomon.doctor.report import Examination, Finding, Found, SpaceHeld

SAMPLE = 200
"""Texts that are encoded again and held against all others: with none of them wrong, at most 1.8 % of all
are, at 95 %."""

_CHECKS: tuple[tuple[str, Callable[[Look], Iterator[Found]]], ...] = (
    ("the catalog's file", catalog_checks.integrity),
    ("references", catalog_checks.references),
    ("models and canaries", model_checks.models),
    ("versions", catalog_checks.behind),
    ("documents and passages", text_checks.texts),
    ("vectors", vector_checks.vectors),
    ("vectors against their models", model_checks.own_vectors),
    ("equal texts", text_checks.duplicates),
    ("files", text_checks.sources),
    ("journal", catalog_checks.journal),
    ("indexes", index_checks.indexes),
)


@accepts_say
def examine(
    kb: Collection, *, sample: int = SAMPLE, fix: bool = False, progress: ProgressCallback = no_progress
) -> Examination:
    """What is in a collection, and what is wrong with it; nothing is changed without `fix`.

    `sample` texts are encoded again by each model. With `fix` indexes are made again, vectors that nothing
    needs are dropped, passages without one embedded, and vectors that are broken or not their model's made
    again; documents are never touched. `progress` receives a message for each step. Raises
    InvalidInput for a sample below 1.
    """
    if sample < 1:
        raise InvalidInput(f"a sample of {sample}", expected="1 text or more", hint=f"leave it out: {SAMPLE}")
    started = time.perf_counter()
    mended: list[str] = []
    look, found = _looked(kb, sample, progress, {})
    mends = [each for each in found if each.mend is not None]
    if fix and mends:
        for each in mends:
            progress(Progress("fixing", message=f"mending: {each.finding.what}"))
            if each.mend is not None:
                mended.append(each.mend())
        _follow(look)
        look, found = _looked(kb, sample, progress, look.encoders)
    return _report(look, found, tuple(mended), time.perf_counter() - started)


def _looked(
    kb: Collection, sample: int, progress: ProgressCallback, loaded: dict[int, Encoder]
) -> tuple[Look, list[Found]]:
    found: list[Found] = []
    look = look_at(kb, sample, progress, loaded)
    for name, check in _CHECKS:
        try:
            found += check(look)
        except GnomonError as error:
            look.skipped.append(f"{name}: {error.message}")
            continue
        if name == _CHECKS[0][0] and any(not each.mend for each in found):
            look.skipped.append("everything else: a damaged catalog says nothing that can be relied on")
            break
        look.done.append(name)
    return look, found


def _report(look: Look, found: list[Found], mended: tuple[str, ...], seconds: float) -> Examination:
    with look.catalog.read() as connection:
        documents = queries.count(connection, schema.documents)
        files = queries.count(connection, schema.sources)
    return Examination(
        collection=str(look.folder),
        documents=documents,
        files=files,
        spaces=_spaces(look),
        versions=look.kb.versions.list(),
        checks=tuple(look.done),
        findings=tuple(sorted((each.finding for each in found), key=_rank)),
        skipped=tuple(look.skipped),
        mended=mended,
        seconds=seconds,
    )


def _follow(look: Look) -> None:
    """Bring the indexes of all whole versions in line with what was mended."""
    for version, standing in look.kept:
        if standing.state != "building" and not standing.behind:
            look.kb.versions.build_indexes(version.name)


def _rank(finding: Finding) -> tuple[int, str]:
    return ("error", "warning", "note").index(finding.severity), finding.check


def _spaces(look: Look) -> tuple[SpaceHeld, ...]:
    """Every space of the catalog, with what it holds."""
    vector, space = schema.vectors.c, schema.spaces.c
    with look.catalog.read() as connection:
        by_role = select(vector.space_id, vector.role, func.count()).group_by(vector.space_id, vector.role)
        counts = {(row[0], row[1]): int(row[2]) for row in connection.execute(by_role)}
        rows = connection.execute(select(space.id, space.space, space.model).order_by(space.id)).all()
        every = versions.all_versions(connection)
    held = []
    for row in rows:
        own = Space.from_json(json.loads(row.space))
        users = tuple(version.name for version in every if version.space_id == row.id)
        documents, queries = counts.get((row.id, "document"), 0), counts.get((row.id, "query"), 0)
        held.append(SpaceHeld(own.short, own.fingerprint, row.model, own.dim, documents, queries, users))
    return tuple(held)
