"""Stores in PostgreSQL with pgvector: a table a version, with an HNSW graph over half-precision vectors."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.errors import GnomonError, InvalidInput, ServerUnreachable, StorageError, missing_extra
from gnomon.core.space import Similarity, Space
from gnomon.core.stores import StoreCapabilities
from gnomon.stores.address import StoreAddress
from gnomon.stores.engine import EngineLimits, EngineRows, EngineStore, Hits, Where
from gnomon.stores.fields import Order, write
from gnomon.stores.label import collection_gone
from gnomon.stores.requests import Failure

SCHEMA = "gnomon_stores"
"""The PostgreSQL schema that the tables of all stores in a database are in."""
_INDEXED_FROM = 20_000
"""Rows from which there is a graph: fewer are compared one by one, which is exact and takes milliseconds."""
_OPTIONS = {"ef_search": 100, "m": 16, "ef_construction": 64}
_MOST = {"halfvec": 4000, "vector": 2000}
"""Dimensions that pgvector can index of each type."""
_MOST_SCANNED = 100_000
"""Rows of the graph that a filtered search looks at, at most."""
_LOST = ("57P01", "57P02", "57P03", "53300")
"""Shut down, crashed, starting, too many connections."""


def open_pgvector(address: StoreAddress, name: str, *, database: str | None = None) -> EngineStore:
    """The store of a name at postgresql://[USER@]HOST[:PORT]/DATABASE, or in a database with a URL of its own.

    Options after "?": ef_search (rows of the graph that a search looks at, 100), m and ef_construction of the graph (16
    and 64), type (halfvec, or vector for single precision and at most 2,000 dimensions); others are libpq's. Raises
    InvalidInput for wrong ones.
    """
    try:
        import psycopg
    except ImportError as error:
        raise missing_extra("psycopg", extra="postgres") from error
    options = dict(parse_qsl(address.query))
    kind = options.pop("type", "halfvec")
    numbers = {each: _number(each, options.pop(each, str(default))) for each, default in _OPTIONS.items()}
    if kind not in _MOST:
        raise InvalidInput(f"the type {kind!r} of a pgvector store", expected=f"one of {', '.join(_MOST)}")
    if database is None:
        if not address.path.strip("/"):
            raise InvalidInput(
                f"the store {address.text!r} of a collection that is in a folder",
                expected="a PostgreSQL database",
                hint="name one: postgresql://HOST/DATABASE; pgvector alone is the collection's own database",
            )
        user = f"{quote(address.user, safe='')}@" if address.user else ""
        port = f":{address.port}" if address.port else ""
        database = f"postgresql://{user}{address.host}{port}/{quote(address.path.strip('/'), safe='')}"
        database += f"?{urlencode(options)}" if options else ""
    return EngineStore(PgvectorEngine(database, numbers, kind=kind, connect=psycopg.connect), name)


def _number(name: str, text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise InvalidInput(f"{name}={text} of a pgvector store", expected="a whole number from 1 to 1000")
    return int(text)


class PgvectorEngine:
    """Tables with ids, vectors, terms and bounds, each with its label as a comment. A connection is one thread's."""

    similarities: tuple[Similarity, ...] = ("cosine", "dot", "euclidean")
    limits = EngineLimits(rows=5_000, bytes=32 << 20, ids=1_000_000)

    def __init__(self, database: str, options: Mapping[str, int], *, kind: str, connect: Any) -> None:
        self.capabilities = StoreCapabilities("pgvector", max_dim=_MOST[kind])
        self._database, self._options, self._kind, self._connect = database, options, kind, connect
        self._idle: list[Any] = []
        self._mutex = threading.Lock()

    def failure_of(self, error: Exception) -> Failure | None:
        """What psycopg's exceptions mean, by PostgreSQL's codes."""
        import psycopg

        if isinstance(error, GnomonError) or not isinstance(error, psycopg.Error):
            return None
        code, said = getattr(error, "sqlstate", None) or "", str(error).strip().partition("\n")[0]
        if code in ("42P01", "3F000"):
            return Failure(collection_gone("of this store", "PostgreSQL"))
        if code in ("53100", "25006", "42501"):
            return Failure(
                StorageError(
                    f"the store in PostgreSQL cannot be written: {said}",
                    expected=f"the primary, free space, and the right to make tables in the schema {SCHEMA}",
                    hint="have the database's owner grant it: GRANT CREATE ON DATABASE",
                )
            )
        if code == "22003":
            return Failure(
                InvalidInput(
                    f"a vector beyond half precision: {said}", expected="the option type=vector in the address"
                )
            )
        if code in ("40001", "40P01"):
            return Failure(StorageError(f"another writer holds the store: {said}"), again=True)
        if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and (
            not code or code in _LOST or code.startswith("08")
        ):
            wanted, hint = "a PostgreSQL server that answers", "start it, or correct the store's address"
            return Failure(
                ServerUnreachable(f"the store's database does not answer: {said}", expected=wanted, hint=hint),
                again="authentication" not in said and "does not exist" not in said,
            )
        return None

    def read_label(self, name: str) -> str | None:
        """The table's comment."""
        with self._session() as session:
            wanted = "SELECT to_regclass(%s), obj_description(to_regclass(%s), 'pg_class')"
            table, label = session.execute(wanted, (_quoted(name), _quoted(name))).fetchone()
        return None if table is None else str(label or "")

    def write_label(self, name: str, label: str) -> None:
        """Replace the table's comment."""
        with self._session() as session:
            session.execute(_comment(name, label))

    def make(self, name: str, space: Space, *, label: str) -> None:
        """The extension and the schema where they lack, the table with its label in one transaction."""
        with self._session() as session:
            _require_extension(session)
            session.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            with session.transaction():
                columns = f"id bigint PRIMARY KEY, vector {self._kind}({space.dim}) NOT NULL, terms text[] NOT NULL"
                session.execute(f"CREATE TABLE IF NOT EXISTS {_quoted(name)} ({columns}, bounds jsonb NOT NULL)")
                terms = _part(name, "terms")
                session.execute(f"CREATE INDEX IF NOT EXISTS {terms} ON {_quoted(name)} USING gin (terms)")
                session.execute(_comment(name, label))

    def index_columns(self, name: str, columns: Sequence[str]) -> None:
        """Nothing: bounds are keys of one JSONB column."""

    def put(self, name: str, rows: EngineRows) -> None:
        """By binary COPY into a temporary table, and from there in one transaction."""
        with self._session() as session, session.transaction():
            session.execute(f"CREATE TEMPORARY TABLE incoming (LIKE {_quoted(name)}) ON COMMIT DROP")
            with session.cursor().copy("COPY incoming FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(["int8", "bytea", "text[]", "jsonb"])
                blobs = self._binary(rows.vectors)
                for one, blob, fields in zip(rows.ids, blobs, rows.fields, strict=True):
                    copy.write_row((one, blob, fields.terms, _json(fields.bounds)))
            session.execute(
                f"INSERT INTO {_quoted(name)} SELECT * FROM incoming ON CONFLICT (id) DO UPDATE SET "
                "vector = excluded.vector, terms = excluded.terms, bounds = excluded.bounds"
            )

    def remove(self, name: str, ids: list[int]) -> None:
        """Delete rows."""
        with self._session() as session:
            session.execute(f"DELETE FROM {_quoted(name)} WHERE id = ANY(%s::bigint[])", (ids,))

    def settle(self, name: str) -> None:
        """Build the graph where there are rows enough; it is kept up from then on."""
        graph = _part(name, "graph")
        with self._session() as session:
            kind = session.execute("SELECT to_regclass(%s)", (f"{SCHEMA}.{graph}",)).fetchone()[0]
            if (
                kind is not None
                or session.execute(f"SELECT count(*) FROM {_quoted(name)}").fetchone()[0] < _INDEXED_FROM
            ):
                return
            label = json.loads(self.read_label(name) or "{}")
            operators = "l2" if label.get("space", {}).get("similarity") == "euclidean" else "ip"
            with session.transaction():
                session.execute("SET LOCAL maintenance_work_mem = '512MB'")
                session.execute(
                    f"CREATE INDEX {graph} ON {_quoted(name)} USING hnsw (vector {self._kind}_{operators}_ops) "
                    f"WITH (m = {self._options['m']}, ef_construction = {self._options['ef_construction']})"
                )
            session.execute(f"ANALYZE {_quoted(name)}")

    def search(self, name: str, query: Float[np.ndarray, " dim"], *, k: int, where: Where, space: Space) -> Hits:
        """By the graph, or by comparing every row where there is none."""
        clause, given = _where_clause(where)
        operator = "<->" if space.similarity == "euclidean" else "<#>"
        written = f"[{','.join(map(str, query.tolist()))}]"
        statement = (
            f"SELECT id, vector {operator} %s::{self._kind} AS distance FROM {_quoted(name)}{clause} "
            "ORDER BY distance LIMIT %s"
        )
        with self._session() as session:
            found = session.execute(statement, (written, *given, k)).fetchall()
        return [(int(one), -float(distance)) for one, distance in found]

    def search_words(self, name: str, query: str, *, k: int, where: Where) -> Hits:
        """Not here: texts are in the catalog, and PostgreSQL has no BM25."""
        raise InvalidInput("a search by words in pgvector", expected="an engine with keyword search")

    def count(self, name: str) -> int:
        """By counting."""
        with self._session() as session:
            return int(session.execute(f"SELECT count(*) FROM {_quoted(name)}").fetchone()[0])

    def ids(self, name: str) -> Int[np.ndarray, " items"]:
        """All ids."""
        with self._session() as session:
            found = session.execute(f"SELECT id FROM {_quoted(name)}").fetchall()
        return np.array([one for (one,) in found], dtype=np.int64)

    def vectors(self, name: str, ids: list[int]) -> Mapping[int, Float[np.ndarray, " dim"]]:
        """As they are kept."""
        number = ">f2" if self._kind == "halfvec" else ">f4"
        wanted = f"SELECT id, vector FROM {_quoted(name)} WHERE id = ANY(%s::bigint[])"
        with self._session() as session:
            found = session.execute(wanted, (ids,), binary=True).fetchall()
        return {int(one): np.frombuffer(bytes(blob)[4:], number).astype(np.float32) for one, blob in found}

    def set_alias(self, name: str, alias: str) -> None:
        """A view of that name, for other programs."""
        with self._session() as session, session.transaction():
            session.execute(f"DROP VIEW IF EXISTS {_quoted(alias)}")
            session.execute(f"CREATE VIEW {_quoted(alias)} AS SELECT * FROM {_quoted(name)}")

    def drop(self, name: str) -> None:
        """The table, its indexes and the view on it."""
        with self._session() as session:
            session.execute(f"DROP TABLE IF EXISTS {_quoted(name)} CASCADE")

    def close(self) -> None:
        """Close idle connections."""
        with self._mutex:
            for session in self._idle:
                session.close()
            self._idle.clear()

    @contextmanager
    def _session(self) -> Iterator[Any]:
        """A connection for this thread alone; one that broke is not used again."""
        with self._mutex:
            session = self._idle.pop() if self._idle else None
        session = session or self._new_session()
        try:
            yield session
        except BaseException:
            if session.closed or session.broken:
                session.close()
            else:
                self._give_back(session)
            raise
        self._give_back(session)

    def _give_back(self, session: Any) -> None:
        with self._mutex:
            self._idle.append(session)

    def _new_session(self) -> Any:
        session = self._connect(self._database, autocommit=True, prepare_threshold=None, connect_timeout=10)
        session.execute("SET client_min_messages = warning")
        session.execute(f"SET hnsw.ef_search = {self._options['ef_search']}")
        # A search with a condition goes on in the graph until it has what was asked for.
        session.execute("SET hnsw.iterative_scan = strict_order")
        session.execute(f"SET hnsw.max_scan_tuples = {_MOST_SCANNED}")
        return session

    def _binary(self, rows: Float[np.ndarray, "rows dim"]) -> list[bytes]:
        """Rows as pgvector reads them: the number of dimensions, zero, and the numbers, all big-endian."""
        head = np.array([rows.shape[1], 0], ">i2").tobytes()
        numbers = rows.astype(">f2" if self._kind == "halfvec" else ">f4")
        return [head + row.tobytes() for row in numbers]


class _SqlWriter:
    """Filters in SQL, with what they compare in `given`."""

    def __init__(self) -> None:
        self.given: list[Any] = []

    def any_of(self, terms: Sequence[str]) -> str:
        self.given.append(list(terms))
        return "terms && %s::text[]"

    def none_of(self, terms: Sequence[str]) -> str:
        return f"NOT ({self.any_of(terms)})"

    def bound(self, column: str, order: Order, *, value: float) -> str:
        self.given += [column, value]
        return f"(bounds ->> %s)::float8 {order} %s::float8"

    def all_of(self, parts: Sequence[str]) -> str:
        return f"({' AND '.join(parts)})"

    def one_of(self, parts: Sequence[str]) -> str:
        return f"({' OR '.join(parts)})"


def _where_clause(where: Where) -> tuple[str, list[Any]]:
    if where is None:
        return "", []
    if isinstance(where, list):
        return " WHERE id = ANY(%s::bigint[])", [where]
    writer = _SqlWriter()
    return f" WHERE {write(where, writer)}", writer.given


def _require_extension(session: Any) -> None:
    """Make the extension where it lacks. Raises InvalidInput that says who has to do what."""
    import psycopg

    if session.execute("SELECT to_regtype('halfvec')").fetchone()[0] is not None:
        return
    try:
        session.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except psycopg.errors.InsufficientPrivilege as error:
        raise InvalidInput(
            "the database has no extension vector, and this user may not make it",
            expected="pgvector 0.8 or newer in the database",
            hint="have a superuser run in that database: CREATE EXTENSION vector",
        ) from error
    except psycopg.Error as error:
        raise InvalidInput(
            f"the server has no pgvector: {str(error).strip().partition(chr(10))[0]}",
            expected="PostgreSQL with pgvector 0.8 or newer",
            hint="install it there: https://github.com/pgvector/pgvector",
        ) from error


def _comment(name: str, label: str) -> Any:
    from psycopg import sql

    return sql.SQL("COMMENT ON TABLE {} IS {}").format(sql.SQL(_quoted(name)), sql.Literal(label))


def _json(bounds: Mapping[str, float]) -> Any:
    from psycopg.types.json import Jsonb

    return Jsonb(dict(bounds))


def _quoted(name: str) -> str:
    return f'{SCHEMA}."{name.replace(chr(34), chr(34) * 2)}"'.replace("%", "%%")


def _part(name: str, part: str) -> str:
    return f'"{name.replace(chr(34), chr(34) * 2)[:50]}_{part}"'
