"""How fast a model encodes on this machine: measured once, and remembered beside the models."""

from __future__ import annotations

import contextlib
import json
import platform
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from gnomon.core.contracts import Encoder
from gnomon.core.files import write_atomic
from gnomon.core.progress import Progress, ProgressCallback, no_progress
from gnomon.encode.digest import cache_home
from gnomon.encode.settings import EncoderSettings

PASSAGES, QUERIES = 64, 20
"""Different passages, and queries that are timed one by one."""
_BATCH = 16
_PASSAGE_WORDS, _QUERY_WORDS = 150, 8
_MIN_S, _MAX_S = 3.0, 30.0


@dataclass(frozen=True)
class Speed:
    """Passages of about 150 words and their tokens a second, and the median milliseconds of a query of 8 words.

    `fingerprint` is the model's space, `cpu` the processor with the cores used, `precision` and `when` as measured.
    """

    model: str
    fingerprint: str
    cpu: str
    precision: str
    texts_per_second: float
    tokens_per_second: float
    query_ms: float
    when: str


def measure(
    encoder: Encoder, model: str, settings: EncoderSettings | None = None, *, progress: ProgressCallback = no_progress
) -> Speed:
    """Encode passages for at least 3 seconds, all of them unless that takes 30, then queries one by one.

    Raises what encoding raises.
    """
    settings = settings or EncoderSettings()
    passages, queries = _texts(PASSAGES, _PASSAGE_WORDS), _texts(QUERIES, _QUERY_WORDS)
    tokens = sum(encoder.count_tokens(passages, role="document"))
    encoder.encode(passages[:4], role="document")
    done, seconds, started = 0, 0.0, time.perf_counter()
    while not done or seconds < _MIN_S or (done % PASSAGES and seconds < _MAX_S):
        at = done % PASSAGES
        encoder.encode(passages[at : at + _BATCH], role="document")
        done += _BATCH
        seconds = time.perf_counter() - started
        progress(Progress("measuring", done, None, "text", item=model))
    encoder.encode(queries[:2], role="query")
    return Speed(
        model=model,
        fingerprint=encoder.space.fingerprint,
        cpu=cpu_name(settings),
        precision=settings.precision,
        texts_per_second=round(done / seconds, 2),
        tokens_per_second=round(done / PASSAGES * tokens / seconds, 1),
        query_ms=round(1000 * statistics.median(_each(encoder, queries)), 3),
        when=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _each(encoder: Encoder, queries: Sequence[str]) -> Iterator[float]:
    for text in queries:
        started = time.perf_counter()
        encoder.encode([text], role="query")
        yield time.perf_counter() - started


def _texts(number: int, words: int) -> list[str]:
    """Different texts of so many words, of the sentences that int8 is calibrated with."""
    text = files("gnomon.encode.runtime").joinpath("calibration.txt").read_text(encoding="utf-8").split()
    return [" ".join((text[at:] + text)[:words]) for at in range(0, number * 7, 7)]


@cache
def cpu_name(settings: EncoderSettings | None = None) -> str:
    """The processor, and how many cores of it are used: what figures of one machine can be compared by."""
    facts = Path("/proc/cpuinfo")
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = [line for line in facts.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        name = lines[0].partition(":")[2].strip() if lines else name
    return f"{name}, {(settings or EncoderSettings()).thread_count} cores"


def remember(speed: Speed) -> None:
    """Keep a measurement in gnomon's cache; an older one of the same model, machine and precision is replaced.

    A cache that cannot be written only means that it is measured again.
    """
    kept = {_key(each): each for each in remembered()} | {_key(speed): speed}
    with contextlib.suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        write_atomic(_file(), json.dumps([asdict(each) for each in kept.values()], indent=1))


def remembered() -> tuple[Speed, ...]:
    """Every measurement that is kept, of any machine that shares the cache."""
    try:
        rows: list[dict[str, Any]] = json.loads(_file().read_bytes())
        return tuple(Speed(**row) for row in rows)
    except (OSError, ValueError, TypeError):
        return ()


def speed_of(model: str) -> Speed | None:
    """The newest measurement of a model by its name on this machine, at the precision that is chosen by default."""
    here = [each for each in remembered() if (each.model, each.cpu, each.precision) == (model, cpu_name(), "auto")]
    return max(here, key=lambda each: each.when, default=None)


def _key(speed: Speed) -> tuple[str, str, str]:
    return speed.fingerprint, speed.cpu, speed.precision


def _file() -> Path:
    return cache_home() / "speeds.json"
