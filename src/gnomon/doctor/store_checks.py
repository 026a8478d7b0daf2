"""Checks of stores: every passage that the catalog has at the store's position is there, once, with its vector."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from sqlalchemy import Connection

from gnomon.collection.catalog import queries
from gnomon.collection.catalog.store_records import filled_store
from gnomon.collection.catalog.versions import Version
from gnomon.collection.indexes.store_filling import count_other_vectors
from gnomon.collection.indexes.store_index import StoreIndex
from gnomon.core.batching import in_blocks
from gnomon.core.errors import GnomonError, ServerUnreachable, StoreChanged
from gnomon.doctor.context import CheckContext, describe_chunks
from gnomon.doctor.report import Diagnosis, DoctorFinding

_BLOCK = 1000


def stores(context: CheckContext) -> Iterator[Diagnosis]:
    """The stores of all versions that are live or ready and have one."""
    for version, state in context.versions:
        if version.retrieval.store is None or state.state == "building":
            continue
        index = StoreIndex(context.catalog, version)
        try:
            yield from _examined(context, version, index, is_live=state.state == "live")
        except ServerUnreachable as error:
            yield Diagnosis(_unreachable(version, error))
        except StoreChanged as error:
            yield Diagnosis(_changed(error.message, 1), partial(_fill_anew, context, version))
        finally:
            index.close()


def _examined(context: CheckContext, version: Version, index: StoreIndex, *, is_live: bool) -> Iterator[Diagnosis]:
    fix = partial(_fill_anew, context, version)
    with context.catalog.read() as connection:
        head = queries.chunking_head(connection, version.chunking_id).seq
        at = index.look(connection, upto=head)
        if isinstance(index.fault, ServerUnreachable):
            raise index.fault
        if index.fault is not None:
            yield Diagnosis(_changed(index.fault.message, 1), fix)
        elif index.position is None and filled_store(connection, version.id) is not None:
            yield Diagnosis(_changed(f"the store of {version.name}, which was filled, is gone", 1), fix)
        elif index.position is None:
            if is_live:
                yield Diagnosis(_missing(version), fix)
        elif at < head:
            yield Diagnosis(_behind(version, head - at), partial(_bring_up, context, version))
        else:
            yield from _compared(connection, version, index, fix=fix)


def _compared(connection: Connection, version: Version, index: StoreIndex, *, fix: partial[str]) -> Iterator[Diagnosis]:
    """All ids and vectors of a store that is at the catalog's position."""
    every, there = queries.all_ids(connection, version.chunking_id), index.store.ids()
    extra = np.setdiff1d(there, every)
    lacking, wrong = [], []
    for block in in_blocks(every.tolist(), _BLOCK):
        ids, right = queries.vectors_of(connection, version.space_id, version.space, ids=np.array(block))
        found, held = index.store.vectors_of(ids)
        lacking += np.setdiff1d(ids, found).tolist()
        wrong += [
            int(one)
            for one, known, kept in zip(found, right[np.isin(ids, found)], held, strict=True)
            if count_other_vectors(known, kept)
        ]
    groups: tuple[tuple[str, list[int]], ...] = (
        ("lacks passages that the catalog has", lacking),
        ("has passages that the catalog does not have", extra.tolist()),
        ("has other vectors than the catalog", wrong),
    )
    for what, concerned in groups:
        if concerned:
            examples = describe_chunks(connection, concerned) or tuple(f"passage {one}" for one in concerned[:3])
            yield Diagnosis(_changed(f"the store of {version.name} {what}", len(concerned), examples), fix)


def _changed(message: str, count: int, examples: tuple[str, ...] = ()) -> DoctorFinding:
    return DoctorFinding(
        "store-changed",
        "error",
        message=message,
        count=count,
        explanation="Someone else changed the engine's collection: passages are not found, or wrong ones are.",
        advice="fill it anew from the catalog: --fix",
        examples=examples,
        is_fixable=True,
    )


def _missing(version: Version) -> DoctorFinding:
    return DoctorFinding(
        "store-missing",
        "warning",
        message=f"the store of {version.name} was never filled",
        count=1,
        explanation="The first search fills it, and waits for it.",
        advice="fill it now: --fix",
        is_fixable=True,
    )


def _behind(version: Version, changes: int) -> DoctorFinding:
    return DoctorFinding(
        "store-behind",
        "note",
        message=f"the store of {version.name} is {changes:,} changes behind the catalog",
        count=changes,
        explanation="The latest passages are found by their words only. Searches bring it up to date by and by.",
        advice="bring it up to date now: --fix",
        is_fixable=True,
    )


def _unreachable(version: Version, error: GnomonError) -> DoctorFinding:
    return DoctorFinding(
        "store-unreachable",
        "error",
        message=f"the store of {version.name} does not answer: {error.message}",
        count=1,
        explanation="Searches by meaning fail, and hybrid ones go on by words alone.",
        advice=error.hint or "start the engine, then examine again",
    )


def _fill_anew(context: CheckContext, version: Version) -> str:
    context.kb.internals.serving.served_version(version.id).derived.refill_store()
    return f"filled the store of {version.name} anew"


def _bring_up(context: CheckContext, version: Version) -> str:
    context.kb.versions.build_indexes(version.name)
    return f"brought the store of {version.name} up to date"
