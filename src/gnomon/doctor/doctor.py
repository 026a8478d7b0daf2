"""`examine`: makes all checks of a collection in order, and fixes what can be fixed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

from sqlalchemy import func, select

from gnomon.collection.catalog import queries, schema, versions
from gnomon.collection.collection import Collection
from gnomon.core.errors import CollectionDamaged, GnomonError, InvalidInput
from gnomon.core.progress import Progress, ProgressCallback, accepts_say, no_progress
from gnomon.core.space import Space
from gnomon.doctor import (
    catalog_checks,
    index_checks,
    model_checks,
    sparse_checks,
    store_checks,
    text_checks,
    vector_checks,
)
from gnomon.doctor.context import CheckContext
from gnomon.doctor.report import Diagnosis, DoctorFinding, DoctorReport, SpaceSummary

SAMPLE = 200
"""Texts encoded again: when all of these agree, at most 1.8 % of all vectors are wrong, with 95 % confidence."""

_MISSING = "catalog"
_CHECKS: tuple[tuple[str, Callable[[CheckContext], Iterator[Diagnosis]]], ...] = (
    ("the catalog's file", catalog_checks.integrity),
    ("references", catalog_checks.references),
    ("models and canaries", model_checks.models),
    ("versions", catalog_checks.behind),
    ("documents and passages", text_checks.texts),
    ("vectors", vector_checks.vectors),
    ("sparse vectors", sparse_checks.sparse_vectors),
    ("vectors against their models", model_checks.own_vectors),
    ("equal texts", text_checks.duplicates),
    ("files", text_checks.sources),
    ("journal", catalog_checks.journal),
    ("indexes", index_checks.indexes),
    ("stores", store_checks.stores),
)


@accepts_say
def examine(
    kb: Collection, *, sample: int = SAMPLE, fix: bool = False, progress: ProgressCallback = no_progress
) -> DoctorReport:
    """Reports what is in a collection and what is wrong with it; changes nothing without `fix`.

    `sample` texts are encoded again by each model. `fix` rebuilds damaged indexes, drops unused vectors,
    embeds passages without a vector, and replaces vectors that are broken or of another model; documents are
    never changed. `progress` receives a message for each step. Raises InvalidInput for a sample below 1.
    """
    if sample < 1:
        raise InvalidInput(f"a sample of {sample}", expected="1 text or more", hint=f"leave it out: {SAMPLE}")
    started = time.perf_counter()
    fixed: list[str] = []
    context = CheckContext.of(kb, sample, progress)
    diagnoses = _run_checks(context)
    if fix and any(each.fix for each in diagnoses):
        for each in diagnoses:
            if each.fix is not None:
                progress(Progress("fixing", message=f"fixing: {each.finding.message}"))
                fixed.append(each.fix())
        _update_indexes(context)
        context = CheckContext.of(kb, sample, progress, loaded=context.encoders)
        diagnoses = _run_checks(context)
    return _report(context, diagnoses, tuple(fixed), seconds=time.perf_counter() - started)


def _run_checks(context: CheckContext) -> list[Diagnosis]:
    found: list[Diagnosis] = []
    for name, check in _CHECKS:
        try:
            found += check(context)
        except CollectionDamaged as error:
            context.skipped.append(f"{name}: {error.message}")
            if not any(each.finding.check == _MISSING for each in found):
                found.append(_damaged(error))
            continue
        except GnomonError as error:
            context.skipped.append(f"{name}: {error.message}")
            continue
        if name == _CHECKS[0][0] and any(not each.fix for each in found):
            context.skipped.append("all other checks: what a damaged catalog says cannot be relied on")
            break
        context.done.append(name)
    return found


def _damaged(error: CollectionDamaged) -> Diagnosis:
    why = "The database is sound, but another program than gnomon removed or changed tables or rows of it."
    return Diagnosis(
        DoctorFinding(_MISSING, "error", message=error.message, count=1, explanation=why, advice=error.hint)
    )


def _report(
    context: CheckContext, diagnoses: list[Diagnosis], fixed: tuple[str, ...], *, seconds: float
) -> DoctorReport:
    with context.catalog.read() as connection:
        documents = queries.count(connection, schema.documents)
        files = queries.count(connection, schema.sources)
    return DoctorReport(
        collection=context.catalog.address,
        documents=documents,
        files=files,
        spaces=_spaces(context),
        versions=context.kb.versions.list(),
        checks=tuple(context.done),
        findings=tuple(sorted((each.finding for each in diagnoses), key=_rank)),
        skipped=tuple(context.skipped),
        fixed=fixed,
        seconds=seconds,
    )


def _update_indexes(context: CheckContext) -> None:
    """Bring the indexes of all complete versions in line with what was fixed."""
    for version, state in context.versions:
        if state.state != "building" and not state.behind:
            context.kb.versions.build_indexes(version.name)


def _rank(finding: DoctorFinding) -> tuple[int, str]:
    return ("error", "warning", "note").index(finding.severity), finding.check


def _spaces(context: CheckContext) -> tuple[SpaceSummary, ...]:
    """Every space of the catalog, with its numbers of vectors."""
    vector, space = schema.vectors.c, schema.spaces.c
    with context.catalog.read() as connection:
        by_role = select(vector.space_id, vector.role, func.count()).group_by(vector.space_id, vector.role)
        counts = {(row[0], row[1]): int(row[2]) for row in connection.execute(by_role)}
        rows = connection.execute(select(space.id, space.space, space.model).order_by(space.id)).all()
        every = versions.all_versions(connection)
    found = []
    for row in rows:
        own = Space.from_json(json.loads(row.space))
        users = tuple(version.name for version in every if row.id in version.all_space_ids)
        documents, queries = counts.get((row.id, "document"), 0), counts.get((row.id, "query"), 0)
        found.append(SpaceSummary(own.short, own.fingerprint, row.model, own.dim, documents, queries, users))
    return tuple(found)
