"""A real server process: how it ends, and what keeps it from starting."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from support.serve_app import make_collection

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def kb(tmp_path_factory):
    return make_collection(tmp_path_factory.mktemp("serve"))


@contextmanager
def running(kb, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`gnomon serve` in a process of its own, and its address."""
    command = [sys.executable, "-m", "gnomon", "serve", str(kb), "--port", "0", "--json", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            address = json.loads(process.stdout.readline())["page"].rstrip("/")
            until(lambda: is_answering(address))
            yield process, address
        finally:
            if process.poll() is None:
                process.terminate()


def is_answering(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def until(check, seconds: float = 60.0) -> None:
    ends = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < ends, "it did not come to that"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_that_is_told_to_end_ends_with_0(kb, number, workers):
    with running(kb, "--workers", workers) as (process, address):
        process.send_signal(number)
        _, complaints = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "Traceback" not in complaints
        assert not is_answering(address)


def test_while_it_drains_it_answers_and_is_not_ready(kb):
    with running(kb, "--drain-seconds", "3") as (process, address):
        assert httpx.get(f"{address}/ready").status_code == 200
        process.send_signal(signal.SIGTERM)
        until(lambda: httpx.get(f"{address}/ready").status_code == 503, 2)
        assert httpx.get(f"{address}/v1/collections").status_code == 200
        process.communicate(timeout=60)
        assert process.returncode == 0


def test_a_port_in_use_is_one_line(kb):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "gnomon", "serve", str(kb), "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode != 0
    assert f"port {port} of 127.0.0.1 is in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_workers_end_when_their_parent_is_killed(kb):
    with running(kb, "--workers", "2") as (process, address):
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        until(lambda: not is_answering(address), 30)
