"""What PostgreSQL says went wrong, as gnomon's errors, with the next step."""

from __future__ import annotations

import json
import shlex
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from gnomon.collection.address import PostgresAddress
from gnomon.core.errors import (
    CollectionBusy,
    CollectionDamaged,
    CollectionNotFound,
    GnomonError,
    InvalidInput,
    ServerUnreachable,
    StorageError,
)

_REPEATED = ("40001", "40P01")  # serialisation failure, deadlock
_NOT_NOW = ("57P01", "57P02", "57P03", "25P03", "53300")
"""Shut down, crashed, starting, idle for too long, too many connections."""
_OPTION = "for connection option"
_REFUSALS = (  # what a server says before there is a connection: libpq gives no code with it
    ("password authentication failed", "the password", "set PGPASSWORD, or write it into ~/.pgpass"),
    ("no password supplied", "a password", "set PGPASSWORD, or write it into ~/.pgpass"),
    (
        "no pg_hba.conf entry",
        "a server that lets this user in from here",
        "ask who runs it, or add ?sslmode=require",
    ),
    ("authentication failed", "a user whom the server knows", "name the user: postgresql://USER@HOST/DATABASE/NAME"),
    (_OPTION, "values that libpq understands", "correct it, or leave it out"),
    ("role ", "a user whom the server knows", "name the user: postgresql://USER@HOST/DATABASE/NAME"),
    ("permission denied for database", "the right to connect to it", "GRANT CONNECT ON DATABASE"),
)
_TOO_MANY = ("too many clients", "remaining connection slots", "too many connections")


def is_lost(error: BaseException) -> bool:
    """Whether a connection broke or was refused for now, so that a new one may work."""
    plain = _plain(error)
    if not isinstance(plain, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    code = plain.sqlstate or ""
    if code:
        return code in _NOT_NOW or code.startswith("08")
    text = str(plain)
    return not any(said in text for said, _, _ in _REFUSALS) and not _lacks_database(text)


def may_repeat(error: BaseException) -> bool:
    """Whether a transaction that failed may succeed when it is done again; nothing of it is kept."""
    plain = _plain(error)
    return isinstance(plain, psycopg.Error) and plain.sqlstate in _REPEATED


@contextmanager
def translated(address: PostgresAddress) -> Iterator[None]:
    """Turns errors of PostgreSQL into gnomon's."""
    try:
        yield
    except GnomonError:
        raise
    except PoolTimeout as error:
        raise _busy(address) from error
    except (DBAPIError, psycopg.Error) as error:
        _raise(error, address)
    except (zlib.error, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise damaged(address, f"a row cannot be read ({error})") from error


def damaged(address: PostgresAddress, what: object) -> CollectionDamaged:
    """The error for a catalog in which something cannot be right."""
    return CollectionDamaged(
        f"{address} is damaged: {what}",
        expected="an intact catalog",
        hint=f"restore the schema {address.collection} of that database from a backup; what is wrong: "
        f"gnomon doctor {shlex.quote(str(address))}",
    )


def unreachable(address: PostgresAddress, why: str, *, hint: str = "") -> ServerUnreachable:
    """The error for a server that does not answer."""
    return ServerUnreachable(
        f"the database of {address} cannot be reached: {why}",
        expected="a PostgreSQL server that answers at this address",
        hint=hint or "start it, or correct the address; nothing committed is lost",
    )


def read_only(address: PostgresAddress, why: str = "the server or the user may only read") -> StorageError:
    """The error for a write where only reading is allowed."""
    return StorageError(
        f"{address} cannot be written: {why}",
        expected="the primary server, and a user who may write",
        hint="name the primary (target_session_attrs=read-write in the address finds it among several hosts), "
        f"or have the owner of the schema {address.collection} grant the rights; nothing committed is lost",
    )


def _raise(error: DBAPIError | psycopg.Error, address: PostgresAddress) -> NoReturn:
    found = _translated(error, address)
    if found is None:
        raise error
    raise found from error


def _translated(error: DBAPIError | psycopg.Error, address: PostgresAddress) -> GnomonError | None:
    plain = _plain(error)
    if not isinstance(plain, psycopg.Error):
        return None
    code, text = plain.sqlstate or "", _line(str(plain))
    if code in ("55P03", *_REPEATED):
        return _busy(address)
    if code == "53300" or (not code and any(said in text for said in _TOO_MANY)):
        return unreachable(address, text, hint="raise max_connections, or have fewer processes; then run it again")
    if code == "53100":
        return StorageError(
            f"{address} cannot be written: {text}",
            expected="free space on the server's disk",
            hint="free some space on the server, then run it again; nothing committed is lost",
        )
    if code in ("25006", "42501"):
        return read_only(address, text)
    if code in ("42P01", "42703", "XX001", "XX002"):
        return damaged(address, text)
    if code == "57014":
        return unreachable(address, text, hint="raise the server's or the user's statement_timeout")
    return _refused(plain, text, address)


def _refused(plain: psycopg.Error, text: str, address: PostgresAddress) -> GnomonError | None:
    """The error for a connection that was refused or lost, else None."""
    if plain.sqlstate == "3D000" or (not plain.sqlstate and _lacks_database(text)):
        return CollectionNotFound(
            f"no database for {address}: {text}", expected="a database that exists", hint="make one: createdb NAME"
        )
    if isinstance(plain, psycopg.OperationalError) and not plain.sqlstate:
        for said, wanted, hint in _REFUSALS:
            if said == _OPTION and said in text:
                return InvalidInput(f"the address {address}: {text}", expected=wanted, hint=hint)
            if said in text:
                return ServerUnreachable(f"{address} refuses: {text}", expected=wanted, hint=hint)
    return unreachable(address, text) if is_lost(plain) or (plain.sqlstate or "").startswith("28") else None


def _busy(address: PostgresAddress) -> CollectionBusy:
    return CollectionBusy(
        f"{address} is locked by another writer",
        expected="a free moment within the time limit",
        hint="wait for the other run to end, then run the same command again",
    )


def _lacks_database(text: str) -> bool:
    return "database " in text and "does not exist" in text


def _plain(error: BaseException) -> BaseException:
    """The driver's own error."""
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error


def _line(text: str) -> str:
    return " ".join(text.split())[:300]
