"""gnomon serve --model, as a command: several models, by the names they were given, in one process or in two."""

import json
import signal
import subprocess
import sys

import httpx
import numpy as np
import pytest

from gnomon.encode.load import load_encoder
from support.static_models import write_word_model

WORDS = ["[PAD]", "[UNK]", "time", "river"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_models_are_served_without_a_collection(tmp_path, workers):
    vectors = np.random.default_rng(0).standard_normal((len(WORDS), 16)).astype(np.float32)
    one, other = (write_word_model(tmp_path / name, WORDS, vectors * sign) for name, sign in (("a", 1), ("b", -1)))
    command = [sys.executable, "-m", "gnomon", "serve", "--model", str(one), "--model", f"second={other}"]
    command += ["--port", "0", "--workers", str(workers), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            address = json.loads(process.stdout.readline())["page"].rstrip("/")
            with httpx.Client(base_url=address, timeout=60) as http:
                assert [row["id"] for row in http.get("/v1/models").json()["data"]] == ["a", "second"]
                for name, folder in (("a", one), ("second", other)):
                    answer = http.post("/v1/embeddings", json={"model": name, "input": "time"}).json()
                    wanted = load_encoder(folder).encode(["time"], role="document").data[0]
                    np.testing.assert_allclose(answer["data"][0]["embedding"], wanted, atol=1e-6)
                unnamed = http.post("/v1/embeddings", json={"input": "time"})
                assert unnamed.status_code == 400
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
