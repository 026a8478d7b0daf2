"""The settings of a server. Worker processes get them as JSON through the environment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from gnomon.collection.address import PostgresAddress, collection_address, is_database
from gnomon.core.errors import InvalidInput
from gnomon.core.serialize import from_plain, to_plain

ENVIRONMENT = "GNOMON_SERVE_SETTINGS"


@dataclass(frozen=True)
class Limits:
    """What one request may cost, and how many may run or wait in a process before others are refused with 429.

    A body of `body_bytes` at most must arrive within `body_seconds`, plus a second for each 1000 bytes; headers of
    `header_bytes` within `header_seconds`; a caller that takes nothing of its answer for `send_seconds` is cut off.
    Above `connections` at a time a process refuses further ones with 503. `shutdown_seconds` is what requests under way
    have left when the process is told to end; for `drain_seconds` before that it answers as before, and only `/ready`
    says that it will end. What changes a collection or plans a change runs beside searches, `changes_running` at a
    time, and may take `change_seconds`. So do answers, which may wait for a language model: `answers` at a time, with
    as many before them, and `answer_seconds` for each.
    """

    body_bytes: int = 32 << 20
    body_seconds: float = 30.0
    header_bytes: int = 32 << 10
    header_seconds: float = 10.0
    send_seconds: float = 60.0
    connections: int = 1000
    request_seconds: float = 60.0
    running: int = 8
    waiting: int = 256
    changes_running: int = 2
    change_seconds: float = 600.0
    shutdown_seconds: float = 30.0
    drain_seconds: float = 0.0
    answers: int = 4
    answer_seconds: float = 300.0

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value < 0 or (value == 0 and each.name != "drain_seconds"):
                raise InvalidInput(f"limits.{each.name} = {value:g}", expected="a number above 0")


@dataclass(frozen=True)
class BatchingSettings:
    """How the texts of concurrent requests are encoded together.

    `max_wait_ms` is how long a batch waits for more texts where the one before was of several requests, `max_tokens`
    the tokens of a batch, padding included (None: of one inference of the model), `queued_tokens` the tokens that may
    wait before further requests are refused with 429.
    """

    enabled: bool = True
    max_wait_ms: float = 5.0
    max_tokens: int | None = None
    queued_tokens: int = 1_000_000


@dataclass(frozen=True)
class ChatSettings:
    """The language model that writes answers, at an OpenAI-compatible address; without one answers are extractive."""

    url: str
    model: str | None = None


@dataclass(frozen=True)
class ServeSettings:
    """What is served, where, and within which limits.

    `collections` maps the names in addresses to folders; `models` and `rerankers` are served besides the collections'
    own. `keys` is the file of API keys; without one every caller of this machine may do everything. `query_log` turns
    on the log of queries, which keeps their texts; `request_log` is the one of requests, which does not.
    `allowed_hosts` are names under which the server is reached besides its address; `cors_origins` the web sites
    whose pages may use the API ("https://example.org", "*" for all).
    """

    collections: Mapping[str, PostgresAddress | Path] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    rerankers: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    threads: int | None = None
    keys: Path | None = None
    chat: ChatSettings | None = None
    query_log: bool = False
    request_log: bool = True
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    batching: BatchingSettings = field(default_factory=BatchingSettings)

    def __post_init__(self) -> None:
        if not (self.collections or self.models or self.rerankers):
            raise InvalidInput(
                "nothing to serve",
                expected="a collection, a model or a reranker",
                hint="gnomon serve kb, or gnomon serve --model all-MiniLM-L6-v2",
            )
        if self.workers < 1:
            raise InvalidInput(f"workers = {self.workers}", expected="at least 1 process")
        if self.cors_origins and self.keys is None and "*" in self.cors_origins:
            raise InvalidInput(
                "every web site may use the API, and no API keys are in force",
                expected="the sites by name, or a file of API keys",
                hint="gnomon keys create NAME, then start it with --keys",
            )

    def to_environment(self) -> None:
        """Leave these settings to the worker processes that this one starts."""
        os.environ[ENVIRONMENT] = json.dumps(to_plain(self))

    @classmethod
    def from_environment(cls) -> ServeSettings:
        """The settings that the parent process left."""
        return from_plain(cls, json.loads(os.environ[ENVIRONMENT]), name=ENVIRONMENT)


def named_collections(given: Sequence[str]) -> dict[str, PostgresAddress | Path]:
    """Collections by the names in addresses: "kb" is the folder's own name, "docs=folder/kb" gives another.

    Raises InvalidInput for two folders of one name, and for a name that an address cannot hold as it is.
    """
    named: dict[str, PostgresAddress | Path] = {}
    for each in given:
        name, separator, folder = ("", "", "") if is_database(each) else each.partition("=")
        path = collection_address(folder if separator else each)
        name = name if separator else path.name if isinstance(path, Path) else path.collection
        if not name or not all(char.isalnum() or char in "-_." for char in name) or name.startswith("."):
            raise InvalidInput(
                f"a collection named {name!r}",
                expected="letters, digits, - _ and . in its name",
                hint=f"give it one: docs={path}",
            )
        if name in named:
            raise InvalidInput(
                f"two collections named {name!r}: {named[name]} and {path}",
                expected="a name for each",
                hint=f"give one another: {name}2={path}",
            )
        named[name] = path
    return named
