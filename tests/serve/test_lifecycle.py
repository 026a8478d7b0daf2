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

import httpx
import pytest

import gnomon
from support.serve_app import make_collection
from support.serve_process import is_answering, log_of, running, until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def kb(tmp_path_factory):
    return make_collection(tmp_path_factory.mktemp("serve"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_that_is_told_to_end_ends_with_0(kb, number, workers):
    with running(kb, "--workers", workers) as (process, address):
        process.send_signal(number)
        assert process.wait(60) == 0
        assert "Traceback" not in log_of(kb).read_text()
        assert not is_answering(address)


def test_while_it_drains_it_answers_and_is_not_ready(kb):
    with running(kb, "--drain-seconds", "3") as (process, address):
        assert httpx.get(f"{address}/ready").status_code == 200
        process.send_signal(signal.SIGTERM)
        until(lambda: httpx.get(f"{address}/ready").status_code == 503, 2)
        assert httpx.get(f"{address}/v1/collections").status_code == 200
        assert process.wait(60) == 0


def test_documents_that_are_being_added_are_in_the_collection(tmp_path):
    kb = make_collection(tmp_path)
    with running(kb) as (process, address):

        def body() -> Iterator[bytes]:
            for number in range(10):
                if number == 5:
                    process.send_signal(signal.SIGTERM)
                    time.sleep(1)
                yield json.dumps({"id": f"d{number}", "text": f"A river {number}."}).encode() + b"\n"

        headers = {"content-type": "application/x-ndjson"}
        answer = httpx.post(f"{address}/v1/collections/kb/documents", content=body(), headers=headers, timeout=60)
        assert (answer.status_code, answer.json()["documents"]) == (200, 10)
        assert process.wait(60) == 0
    with gnomon.open(kb) as opened:
        assert {f"d{number}" for number in range(10)} <= set(opened.ids())


def test_the_first_request_of_a_new_connection_is_answered(kb):
    with running(kb) as (process, address):
        port = int(address.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=30) as early:
            time.sleep(0.3)  # accepted, and nothing is sent yet
            process.send_signal(signal.SIGTERM)
            until(lambda: not is_answering(address), 10)
            early.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert early.recv(4096).startswith(b"HTTP/1.1 200")
            assert process.wait(60) == 0  # and it is not kept alive


def test_what_takes_longer_than_the_limit_is_cut_off(tmp_path):
    kb = make_collection(tmp_path)
    with running(kb, "--shutdown-seconds", "1") as (process, address):

        def body() -> Iterator[bytes]:
            process.send_signal(signal.SIGTERM)
            for _ in range(300):
                yield b"\n"
                time.sleep(0.1)

        headers = {"content-type": "application/x-ndjson"}
        began = time.monotonic()
        answer = httpx.post(f"{address}/v1/collections/kb/documents", content=body(), headers=headers, timeout=60)
        assert answer.status_code == 503
        assert "ended before" in answer.json()["error"]["message"]
        assert process.wait(60) == 0
        assert time.monotonic() - began < 25
    assert "Traceback" not in log_of(kb).read_text()


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
        process.wait()
        until(lambda: not is_answering(address), 30)
