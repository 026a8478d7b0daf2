"""Switches and what they leave: each is one transaction, and refused where the candidate lacks anything."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sqlalchemy import Connection, func, insert, select, update

from gnomon.collection import schema
from gnomon.collection import version as versions
from gnomon.collection.catalog import Catalog
from gnomon.collection.reports import Switched, VersionInfo
from gnomon.collection.version import NotReady, Standing, Version
from gnomon.core.errors import InvalidInput

ROLLBACK = "rollback"


def switched(catalog: Catalog, to: Version, why: str, *, after: int | None = None) -> Switched:
    """Make a version the live one, in one transaction, in which it is ready and lacks nothing.

    The one that was live is ready from then on, and whole up to the last document. `after` is the last switch
    that the choice of the version rests on, where it does on any. Raises NotReady, also after a later one.
    """
    table = schema.versions
    started = time.perf_counter()
    with catalog.write() as connection:
        live = versions.live(connection)
        standing = versions.standing(connection, to.id)
        if live is None or live.id == to.id:
            raise InvalidInput(
                f"{to.name} is live already", wanted="another version", next_step="gnomon versions lists them"
            )
        require_ready(to, standing)
        if after is not None and last_switch(connection) != after:
            raise NotReady(f"{to.name} is not what was live before, since another switch came in between")
        # In this order: there is never a moment with two.
        left = update(table).where(table.c.id == live.id)
        connection.execute(left.values(state="ready", upto=versions.last_document(connection)))
        connection.execute(update(table).where(table.c.id == to.id).values(state="live"))
        row = {"at": versions.now(), "from_id": live.id, "to_id": to.id, "why": why}
        connection.execute(insert(schema.switches).values(**row))
    return Switched(live.name, to.name, time.perf_counter() - started, why)


def require_ready(version: Version, standing: Standing) -> None:
    """Raise NotReady where a version may not go live, with what it lacks."""
    if standing.state == "ready" and standing.behind == 0:
        return
    if standing.state == "retired":
        came, after = (
            "retired, and gets no documents any more",
            "make a version of its model anew: gnomon migrate",
        )
    elif standing.behind:
        came, after = (
            f"{standing.behind:,} documents behind",
            "catch it up: gnomon migrate goes on where it was",
        )
    else:
        came, after = "still being built", "let its build end: gnomon migrate goes on where it was"
    raise NotReady(f"{version.name} is {came}", wanted="a ready version that lacks nothing", next_step=after)


def made_ready(catalog: Catalog, version: Version) -> None:
    """Say that a version is built: writers follow it from now on. Raises NotReady where it lacks any."""
    with catalog.write() as connection:
        standing = versions.standing(connection, version.id)
        if standing.state in ("ready", "live"):
            return
        if standing.state == "retired" or standing.behind:
            require_ready(version, standing)
        _set(connection, version, "ready")


def retired(catalog: Catalog, version: Version) -> None:
    """Give a version up: nothing is written for it any more. Raises InvalidInput for the live one."""
    with catalog.write() as connection:
        if versions.state(connection, version.id) == "live":
            raise InvalidInput(
                f"{version.name} is live",
                wanted="a version that does not serve",
                next_step="switch to another one first",
            )
        _set(connection, version, "retired")


def former(connection: Connection) -> Version:
    """The version to go back to: the one that the live one took over from. Raises InvalidInput without any.

    A switch back undoes what it goes back over: going back twice does not bring back what was left.
    """
    path: list[int] = []
    # As plain text: after thousands of switches their rows would take longer than the transaction.
    rows = connection.exec_driver_sql("SELECT from_id, to_id, why FROM switches ORDER BY seq")
    for from_id, to_id, why in rows.all():
        path = path or [from_id]
        if why == ROLLBACK and to_id in path:
            del path[len(path) - path[::-1].index(to_id) :]
        else:
            path.append(to_id)
    kept = {version.id: version for version in versions.every(connection, versions.FOLLOWING)}
    for version_id in reversed(path[:-1]):
        if version_id in kept:
            return kept[version_id]
    raise InvalidInput(
        "there is no former version to go back to",
        wanted="a switch before, and a former version that was not retired",
        next_step="gnomon versions lists what there is",
    )


def last_switch(connection: Connection) -> int:
    """The number of the last switch or rollback, 0 before any."""
    return int(connection.execute(select(func.max(schema.switches.c.seq))).scalar_one() or 0)


def infos(connection: Connection) -> Sequence[VersionInfo]:
    """All versions with how they stand, oldest first."""
    table = schema.switches.c
    latest = select(table.to_id, table.at).order_by(table.seq.desc()).limit(1)
    switch = connection.execute(latest).first()
    found = []
    for version in versions.every(connection):
        standing = versions.standing(connection, version.id)
        own = schema.versions.c
        created = connection.execute(select(own.created).where(own.id == version.id)).scalar_one()
        since = switch.at if switch is not None else created
        found.append(
            VersionInfo(
                id=version.id,
                name=version.name,
                state=standing.state,
                model=version.model,
                space=version.space.short,
                fingerprint=version.space.fingerprint,
                chunking=version.chunking,
                retrieval=version.retrieval.to_json(),
                created=created,
                upto=standing.upto,
                behind=standing.behind,
                live_since=since if standing.state == "live" else None,
            )
        )
    return found


def _set(connection: Connection, version: Version, state: str) -> None:
    table = schema.versions
    connection.execute(update(table).where(table.c.id == version.id).values(state=state))
