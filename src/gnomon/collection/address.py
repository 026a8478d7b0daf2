"""Where a collection is: a folder, or a schema in a PostgreSQL database, `postgresql://host/database/collection`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

from gnomon.core.errors import InvalidInput

SCHEME = "postgresql://"
_FORM = "postgresql://[user@]host[:port]/database/collection"
_MAX_BYTES = 63
"""Bytes of a name in PostgreSQL at most."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)
_USER_PASSWORD = re.compile(r"(://[^:/@\s]*):[^/\s]*@")
_PASSWORD_OPTION = re.compile(r"(?<=[?&])((?:ssl)?password)=[^&#]*", re.IGNORECASE)


@dataclass(frozen=True)
class PostgresAddress:
    """A collection's address in a database. `str()` has no password; `secret_url`, what libpq connects to, may.

    `secret_url` is the address without the collection's name, which is that of its PostgreSQL schema.
    """

    collection: str
    secret_url: str = field(repr=False)

    def __str__(self) -> str:
        base, question, options = _without_password(self.secret_url).partition("?")
        return f"{base}/{quote(self.collection, safe='')}{question}{options}"

    @property
    def password(self) -> str | None:
        """The password that the address has, if any."""
        user_part, at, _ = self.secret_url.removeprefix(SCHEME).partition("/")[0].rpartition("@")
        _, colon, password = user_part.partition(":")
        if at and colon:
            return unquote(password)
        found = re.search(r"[?&]password=([^&#]*)", self.secret_url)
        return None if found is None else unquote(found[1])

    def environment(self) -> dict[str, str]:
        """What to add to the environment of another process that is given `str(address)`."""
        return {} if self.password is None else {"PGPASSWORD": self.password}


def collection_address(place: str | Path | PostgresAddress) -> Path | PostgresAddress:
    """What a user names: an absolute folder, or the address in a database.

    Raises InvalidInput for an address of another scheme, without a database, or without a collection's name.
    """
    if isinstance(place, PostgresAddress):
        return place
    if isinstance(place, Path) and str(place).startswith("postgres") and place.parts[0].endswith(":"):
        raise InvalidInput("an address as a Path, which drops slashes", expected="the address as a text", hint=_FORM)
    match = _SCHEME.fullmatch(str(place))
    if match is None:
        return Path(place).expanduser().absolute()
    scheme, rest = match[1].lower(), match[2]
    if scheme != "postgresql":
        shown = _without_password(f"{match[1]}://{rest}")
        takes = scheme in ("postgres", "pgsql") or scheme.startswith("postgresql+")
        raise InvalidInput(
            f"the address {shown}",
            expected=f"a folder, or {_FORM}",
            hint=f"write it as {_whole(rest)}" if takes else "name a folder",
        )
    return _parsed(rest)


def is_database(place: str | Path | PostgresAddress) -> bool:
    """Whether this is the address of a collection in a database."""
    return isinstance(place, PostgresAddress) or _SCHEME.fullmatch(str(place)) is not None


def redacted(text: str) -> str:
    """A text, such as a command, with the addresses in it as they are shown: without a password.

    >>> redacted("gnomon eval postgresql://me:secret@host/db/kb@v1:dense")
    'gnomon eval postgresql://me@host/db/kb@v1:dense'
    """
    return _PASSWORD_OPTION.sub(r"\1=…", _USER_PASSWORD.sub(r"\1@", text))


def names_collection(place: str) -> bool:
    """Whether this is the address of a database with a collection's name, not that of a table for other programs."""
    path = place.partition("?")[0].removeprefix(SCHEME)
    return place.startswith(SCHEME) and "table=" not in place and len(path.rstrip("/").split("/")) == 3


def shown(place: str | Path | PostgresAddress) -> str:
    """A folder or an address as it may be printed: without a password."""
    return str(place) if isinstance(place, PostgresAddress | Path) else _without_password(place)


def data_home() -> Path:
    """Where a machine keeps what belongs to collections in databases: indexes, reports, logs.

    GNOMON_HOME, else XDG_DATA_HOME/gnomon, else ~/.local/share/gnomon.
    """
    if own := os.environ.get("GNOMON_HOME"):
        return Path(own).expanduser()
    if xdg := os.environ.get("XDG_DATA_HOME"):
        return Path(xdg).expanduser() / "gnomon"
    return Path.home() / ".local" / "share" / "gnomon"


def local_folder(collection_id: str) -> Path:
    """The folder of this machine for a collection that is in a database."""
    return (data_home() / "collections" / collection_id).absolute()


def _whole(rest: str, *, anew: bool = False) -> str:
    """The address in full without a password, with placeholders for what it lacks, or for a new collection's name."""
    path, question, options = rest.partition("?")
    host, _, names = path.partition("/")
    database, _, collection = names.rstrip("/").partition("/")
    name = "NAME" if anew or not collection else collection
    return _without_password(f"{SCHEME}{host}/{database or 'DATABASE'}/{name}{question}{options}")


def _parsed(rest: str) -> PostgresAddress:
    path, question, options = rest.partition("?")
    host, _, names = path.partition("/")
    parts = names.rstrip("/").split("/")
    shown_url = _without_password(f"{SCHEME}{rest}")
    if "@" in names or "@" in options or host.count("@") > 1:
        raise InvalidInput(
            f"the address {shown_url}, with a character in its user or password that ends them",
            expected=_FORM,
            hint="percent-encode what is special there: / is %2F, @ is %40, ? is %3F",
        )
    if len(parts) != 2 or not all(parts):
        raise InvalidInput(
            f"the address {shown_url}, which names {'no collection' if len(parts) < 2 else 'more than a collection'}",
            expected=_FORM,
            hint=f"name the database and the collection: {_whole(rest, anew=True)}",
        )
    collection = unquote(parts[1])
    if len(collection.encode()) > _MAX_BYTES or "\0" in collection or "/" in collection:
        raise InvalidInput(
            f"the collection's name {collection!r}",
            expected=f"at most {_MAX_BYTES} bytes, without a slash",
            hint="take a shorter name",
        )
    if collection.startswith("pg_") or collection in ("information_schema", "public"):
        raise InvalidInput(
            f"the collection's name {collection!r}",
            expected="a name of its own: a schema in PostgreSQL is made for each collection",
            hint="take another name, such as kb",
        )
    return PostgresAddress(collection, f"{SCHEME}{host}/{parts[0]}{question}{options}")


def _without_password(url: str) -> str:
    """The address without a password in its user part or its options."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    user, at, place = rest.rpartition("@")  # the last: a password may have what should have been percent-encoded
    path, question, options = place.partition("?")
    host, slash, names = path.partition("/")
    kept = f"{user.partition(':')[0]}@" if at else ""
    options = _PASSWORD_OPTION.sub("", f"?{options}")[1:] if question else ""
    options = "&".join(each for each in options.split("&") if each)
    return f"{scheme}://{kept}{host}{slash}{names}" + (f"?{options}" if options else "")
