"""10,000 texts through a provider's API on loopback that refuses every fifth request, and killed ten times.

    python -m bench provider_run
    python -m bench provider_run --texts 2000 --kills 4 --to provider_run.json

The server answers in OpenAI's form, has a rate limit of its own that it tells in its headers, and counts each text that
it embeds and each token that it bills. One run is left alone; another is ended ten times, by SIGTERM and SIGKILL in
turn, and begun again each time with the same command. `gnomon index` is what runs, in a process of its own.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench import record
from gnomon.collection.catalog.canaries import SERVER_CANARIES

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
servers: Any = importlib.import_module("support.provider_server")  # the tests' own, which documents the APIs

SEED, PRICE = 23, 0.02
MODEL = "openai:text-embedding-3-small"
REQUESTS, WINDOW_S = 2, 1.0
"""The server's limit: 40 requests of 256 texts and the 10 refused take 24 seconds."""
WORDS = ("amber", "bridge", "copper", "drum", "eel", "ferry", "glacier", "hedge", "ink", "juggler", "kite", "lantern")


def write_texts(folder: Path, count: int) -> None:
    """One file of rows, each a text of a dozen words that no other has."""
    chosen = random.Random(SEED)
    rows = [
        {"_id": f"t{number}", "text": f"Text {number} of " + " ".join(chosen.choices(WORDS, k=12))}
        for number in range(count)
    ]
    folder.mkdir()
    (folder / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)))


def start(server: Any, folder: Path, into: Path) -> subprocess.Popen[str]:
    """`gnomon index`, with the key and the address in its environment."""
    environment = {**os.environ, "OPENAI_API_KEY": servers.KEY, "OPENAI_BASE_URL": server.url("openai")}
    command = [sys.executable, "-m", "gnomon", "index", str(folder), "--into", str(into), "--model", MODEL, "--json"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The report of a run that is waited for."""
    out, err = process.communicate()
    if process.returncode:
        raise RuntimeError(f"gnomon index ended with {process.returncode}: {err}")
    report: dict[str, Any] = json.loads(out)
    return report


def kept(into: Path) -> tuple[int, int, float]:
    """Vectors of documents in the catalog, and the tokens and USD that it says were spent."""
    if not (into / "collection.db").exists():
        return 0, 0, 0.0
    with sqlite3.connect(f"file:{into / 'collection.db'}?mode=ro", uri=True) as catalog:
        try:
            vectors = catalog.execute("SELECT count(*) FROM vectors WHERE role = 'document'").fetchone()[0]
            tokens, cost = catalog.execute("SELECT sum(tokens), sum(cost) FROM spending").fetchone()
        except sqlite3.OperationalError:  # killed before there were tables
            return 0, 0, 0.0
    return vectors, tokens or 0, cost or 0.0


def counts(server: Any, into: Path) -> dict[str, Any]:
    """The server's count of texts, tokens and USD beside gnomon's."""
    own = Counter({text: times for text, times in server.embedded.items() if text.startswith("Text ")})
    _, tokens, cost = kept(into)
    return {
        "texts": len(own),
        "embedded_more_than_once": sum(times > 1 for times in own.values()),
        "server_tokens": server.tokens,
        "gnomon_tokens": tokens,
        "server_usd": round(server.tokens * PRICE / 1e6, 9),
        "gnomon_usd": round(cost, 9),
        "requests": len(server.requests),
        "refused": len(server.requests) - server.answered,
    }


def limit_s(requests: int) -> float:
    """The least time in which the server takes so many requests."""
    return (requests - 1) // REQUESTS * WINDOW_S


def left_alone(scratch: Path, folder: Path) -> dict[str, Any]:
    """One run to its end: its time beside the server's own limit."""
    with servers.provider_server(
        dim=1536, fault_of=_every_fifth, limit=servers.RateLimit(REQUESTS, WINDOW_S)
    ) as server:
        process = start(server, folder, scratch / "alone")
        first = last = _wait_for(lambda: len(_of_texts(server)) > 0, process)
        answered = 0
        while process.poll() is None:
            if server.answered > answered:
                answered, last = server.answered, time.monotonic()
            time.sleep(0.01)
        ended = time.monotonic()
        report = finished(process)
        found = counts(server, scratch / "alone")
        least = limit_s(len(_of_texts(server)))  # without the canaries, which are sent before the files are read
    return {
        **found,
        "limit_s": least,
        "embedding_s": round(last - first, 2),
        "of_limit": round((last - first) / least, 3),
        "whole_s": round(ended - first, 2),
        "whole_of_limit": round((ended - first) / least, 3),
        "report_usd": report["cost"],
    }


def killed(scratch: Path, folder: Path, times: int) -> dict[str, Any]:
    """Ended again and again; each time, how many texts the server embedded that were not kept."""
    chosen, into = random.Random(SEED), scratch / "killed"
    events: list[dict[str, Any]] = []
    with servers.provider_server(
        dim=1536, fault_of=_every_fifth, limit=servers.RateLimit(REQUESTS, WINDOW_S)
    ) as server:
        for turn in range(times):
            number = signal.SIGKILL if turn % 2 else signal.SIGTERM
            process, before = start(server, folder, into), server.answered
            wanted = chosen.randint(1, 4) + (len({role for role, _ in SERVER_CANARIES}) * 3 if turn == 0 else 0)
            _wait_for(lambda wanted=wanted, before=before: server.answered >= before + wanted, process)
            time.sleep(chosen.uniform(0, 0.5))
            in_flight, at = server.at_once, time.monotonic()
            process.send_signal(number)
            process.communicate()
            took = time.monotonic() - at
            _wait_for(lambda: server.at_once == 0, process)
            paid = sum(count for text, count in server.embedded.items() if text.startswith("Text "))
            lost = paid - kept(into)[0] - sum(event["texts_paid_and_not_kept"] for event in events)
            events.append(
                {
                    "signal": number.name,
                    "in_flight": in_flight,
                    "texts_paid_and_not_kept": lost,
                    "seconds_to_end": round(took, 2),
                }
            )
        finished(start(server, folder, into))
        found = counts(server, into)
    by_signal = {
        name: sum(event["texts_paid_and_not_kept"] for event in events if event["signal"] == name)
        for name in ("SIGTERM", "SIGKILL")
    }
    return {**found, "paid_twice": by_signal, "kills": events}


def _of_texts(server: Any) -> list[Any]:
    """The requests for texts of the files."""
    return [request for request in list(server.requests) if request.texts[0].startswith("Text ")]


def _every_fifth(number: int) -> Any:
    return servers.rate_limited(style="openai") if number % 5 == 0 else None


def _wait_for(holds: Any, process: subprocess.Popen[str], longest_s: float = 120.0) -> float:
    """When it held first; at once where the process has ended."""
    until = time.monotonic() + longest_s
    while not holds() and process.poll() is None:
        if time.monotonic() > until:
            raise TimeoutError("the server was not asked")
        time.sleep(0.005)
    return time.monotonic()


def main() -> int:
    """Measure, write the figures, and fail where a text was paid for twice that need not have been."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--to", type=Path, help="write the figures to this file instead of bench/results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        write_texts(scratch / "texts", options.texts)
        figures: dict[str, Any] = {
            "seed": SEED,
            "limit": {"requests": REQUESTS, "window_s": WINDOW_S, "refused": "every fifth"},
            "left_alone": left_alone(scratch, scratch / "texts"),
            "killed": killed(scratch, scratch / "texts", options.kills),
        }
    if options.to:
        options.to.write_text(record.compact(figures))
        print(record.compact(figures))
    else:
        record.write("provider_run", figures)
    alone = figures["left_alone"]
    return int(alone["embedded_more_than_once"] > 0 or figures["killed"]["paid_twice"]["SIGTERM"] > 0)


if __name__ == "__main__":
    sys.exit(main())
