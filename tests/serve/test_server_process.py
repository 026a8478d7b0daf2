"""`gnomon serve` as a process of its own: what it writes, and how it is reached."""

import json
import os
import signal
import subprocess
import sys
import time

import httpx
import pytest

from gnomon.serve.security.keys import KeyFile
from support.serve_app import make_collection


@pytest.mark.slow
def test_keys_are_in_force_in_all_processes_and_no_text_reaches_a_log(tmp_path):
    kb, keys = make_collection(tmp_path), KeyFile(tmp_path / "keys.json")
    _, token = keys.create("laptop")
    command = [sys.executable, "-m", "gnomon", "serve", str(kb), "--port", "0", "--workers", "2", "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, "--keys", str(keys.path)], env={**os.environ}, **pipes) as running:
        try:
            page = json.loads(running.stdout.readline())["page"]
            with httpx.Client(base_url=page, headers={"authorization": f"Bearer {token}"}, timeout=120) as http:
                for _ in range(600):
                    if http.get("/ready").status_code == 200:
                        break
                    time.sleep(0.2)
                asked = "xyzzyunknown" + token
                path = "/v1/collections/kb/search"
                assert {http.post(path, json={"query": asked}).status_code for _ in range(20)} == {200}
                without = [httpx.post(f"{page}{path[1:]}", json={"query": asked}, timeout=120) for _ in range(5)]
                assert {answer.status_code for answer in without} == {401}
                assert http.get(f"/v1/collections/kb/{asked}?query={asked}").status_code == 404
                keys.revoke("laptop")
                assert {http.get("/v1/collections").status_code for _ in range(20)} == {401}
        finally:
            running.send_signal(signal.SIGTERM)
        output, log = running.communicate(timeout=120)
    assert running.returncode == 0
    assert "xyzzyunknown" not in log + output
    assert token not in log + output
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert "/v1/collections/{collection}/search" in {line["route"] for line in lines}
    assert {line["key"] for line in lines} == {"laptop", None}
