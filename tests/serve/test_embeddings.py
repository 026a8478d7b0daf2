"""/v1/embeddings and /v1/models: OpenAI's own client, every form of input, what is refused, and back-pressure."""

import asyncio
import base64
import contextlib
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import openai
import pytest

from gnomon.core.contracts import DelegatingEncoder
from gnomon.core.errors import InvalidInput
from gnomon.encode.load import load_encoder
from gnomon.serve import app
from gnomon.serve.models import registry
from gnomon.serve.models.encoder import ServedEncoder
from gnomon.serve.settings import BatchingSettings, Limits
from gnomon.serve.state import ServerState
from support.serve_app import client, make_collection, server

TEXTS = ["A gnomon casts the shadow.", "The Rhine is a river.", "time"]


@pytest.fixture(scope="module")
def kb(tmp_path_factory):
    return make_collection(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def folder(kb):
    return kb.parent / "model"


@pytest.fixture(scope="module")
def encoder(folder):
    return load_encoder(folder)


@pytest.fixture(scope="module")
def http(folder):
    with client(models=(str(folder),)) as inside:
        yield inside


def vectors_of(answer):
    assert answer.status_code == 200, answer.text
    return np.array([row["embedding"] for row in answer.json()["data"]], dtype=np.float32)


def post(http, **body):
    return http.post("/v1/embeddings", json=body)


def refused(answer, status, *words):
    assert answer.status_code == status, answer.text
    message = answer.json()["error"]["message"]
    assert all(word in message for word in words), message
    assert "\n" not in message


def test_openais_client_works_unchanged(folder, encoder):
    wanted = encoder.encode(TEXTS, role="document").data
    with (
        server(models=(f"text-embedding-3-small={folder}",)) as address,
        openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as api,
    ):
        found = api.embeddings.create(model="text-embedding-3-small", input=TEXTS)
        np.testing.assert_allclose([row.embedding for row in found.data], wanted, atol=1e-6)
        assert [row.index for row in found.data] == [0, 1, 2]
        assert found.usage.prompt_tokens == sum(encoder.count_tokens(TEXTS, role="document"))
        as_lists = api.embeddings.create(model="text-embedding-3-small", input=TEXTS[0], encoding_format="float")
        np.testing.assert_allclose(as_lists.data[0].embedding, wanted[0], atol=1e-6)
        assert [model.id for model in api.models.list()] == ["text-embedding-3-small"]
        assert api.models.retrieve("text-embedding-3-small").space == encoder.space.fingerprint
        with pytest.raises(openai.NotFoundError, match="no model 'gpt' is served"):
            api.embeddings.create(model="gpt", input="x")
        with pytest.raises(openai.BadRequestError, match="is empty"):
            api.embeddings.create(model="text-embedding-3-small", input=[])


def test_base64_holds_the_floats(http, encoder):
    answer = post(http, input=TEXTS, encoding_format="base64", input_type="query")
    rows = [np.frombuffer(base64.b64decode(row["embedding"]), "<f4") for row in answer.json()["data"]]
    np.testing.assert_allclose(rows, encoder.encode(TEXTS, role="query").data, atol=1e-6)


def test_token_ids_are_decoded_by_the_models_tokenizer(http, encoder):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(encoder.tokenizer_json)
    ids = [tokenizer.encode(text).ids for text in TEXTS]
    wanted = encoder.encode(TEXTS, role="document").data
    np.testing.assert_allclose(vectors_of(post(http, input=ids)), wanted, atol=1e-6)
    np.testing.assert_allclose(vectors_of(post(http, input=ids[1]))[0], wanted[1], atol=1e-6)
    refused(post(http, input=[99999]), 400, "the token id 99999")


def test_a_batch_of_any_size_keeps_its_order(http, encoder):
    texts = [" ".join(["time", "river"] * (1 + n % 9) + ["sun"] * (n % 4)) for n in range(700)]
    found = vectors_of(post(http, input=texts))
    np.testing.assert_allclose(found, encoder.encode(texts, role="document").data, atol=1e-6)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"input": ""}, "empty"),
        ({"input": []}, "empty"),
        ({"input": ["a", ""]}, "position 1"),
        ({"input": [[]]}, "position 0"),
        ({"input": 5}, "input"),
        ({"input": ["a", 5]}, "mixed"),
        ({"input": [1, True]}, "position 0"),
        ({"input": {"text": "a"}}, "input"),
        ({}, "input"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "dimensions": 8}, "was not trained to be cut"),
        ({"input": "a", "dimensions": 64}, "has 32"),
        ({"input": "a", "input_type": "title"}, "input_type"),
        ({"input": "a \ud800 b"}, "JSON"),
    ],
)
def test_wrong_requests_are_refused_in_one_line(http, body, word):
    answer = http.post("/v1/embeddings", content=json.dumps(body), headers={"content-type": "application/json"})
    refused(answer, 400, word)


def test_malformed_json_and_an_unknown_model_are_refused(http):
    answer = http.post("/v1/embeddings", content=b'{"input": "a', headers={"content-type": "application/json"})
    refused(answer, 400, "the body is no JSON", "at character 12")
    plain = {"content-type": "application/xml"}
    refused(http.post("/v1/embeddings", content=b"<a/>", headers=plain), 415, "application/xml")
    refused(post(http, input="a", model="other"), 404, "no model 'other'")


def test_over_long_input_says_its_length_unless_it_is_to_be_cut(tmp_path_factory):
    kb = make_collection(tmp_path_factory.mktemp("short"))
    config = kb.parent / "model" / "config.json"
    config.write_text(config.read_text().replace("{", '{"seq_length": 4, ', 1))
    with client(models=(str(config.parent),)) as http:
        limit = http.get("/v1/models").json()["data"][0]["max_tokens"]
        long = "time " * (limit + 3)
        refused(post(http, input=["time", long]), 400, f"input[1] has {limit + 3} tokens", f"reads {limit}")
        answer = post(http, input=long, truncate=True)
        assert answer.json()["usage"]["prompt_tokens"] == limit


def test_dimensions_of_a_model_that_is_trained_for_it(tmp_path_factory):
    folder = make_collection(tmp_path_factory.mktemp("cut")).parent / "model"
    config = folder / "config.json"
    config.write_text(config.read_text().replace("{", '{"matryoshka_dimensions": [8, 16], ', 1))
    wanted = load_encoder(folder).encode(["time"], role="document").truncate(8)
    with client(models=(str(folder),)) as http:
        answer = post(http, input="time", dimensions=8)
        np.testing.assert_allclose(vectors_of(answer), wanted.data, atol=1e-6)
        assert answer.headers["x-gnomon-space"] == wanted.space.fingerprint


def test_a_demanded_space_is_met_or_refused(http, encoder):
    space = encoder.space.fingerprint
    good = http.post("/v1/embeddings", json={"input": "a"}, headers={"x-gnomon-space": space})
    assert (good.status_code, good.headers["x-gnomon-space"]) == (200, space)
    refused(http.post("/v1/embeddings", json={"input": "a"}, headers={"x-gnomon-space": "0" * 16}), 409, space)


def test_the_collections_own_model_is_served_too(kb, encoder):
    with client({"kb": kb}) as http:
        (model,) = http.get("/v1/models").json()["data"]
        assert (model["kind"], model["dim"], model["space"]) == ("embedding", 32, encoder.space.fingerprint)
        found = vectors_of(post(http, input="time", model=model["id"]))
        np.testing.assert_allclose(found, encoder.encode(["time"], role="document").data, atol=1e-6)


def test_the_form_of_text_embeddings_inference(http, encoder):
    answer = http.post("/embed", json={"inputs": TEXTS})
    np.testing.assert_allclose(answer.json(), encoder.encode(TEXTS, role="document").data, atol=1e-6)
    refused(http.post("/embed", json={"inputs": []}), 400, "empty")


class Held(DelegatingEncoder):
    """Waits at a gate before it encodes anything but the warm-up."""

    def __init__(self, encoder):
        super().__init__(encoder)
        self.gate, self.reached = threading.Event(), threading.Event()

    def encode(self, texts, *, role):
        if texts != ["warm-up"]:
            self.reached.set()
            assert self.gate.wait(20)
        return self.encoder.encode(texts, role=role)


@pytest.fixture
def held(encoder, monkeypatch):
    """What the models that are served from now on encode with."""
    made = Held(encoder)
    monkeypatch.setattr(registry, "load_encoder", lambda name, settings: made)
    yield made
    made.gate.set()


def load_of(http):
    return http.app.state.gnomon.models.encoders[0].load


def until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_a_full_queue_answers_429_and_when_to_come_again(held):
    limited = BatchingSettings(queued_tokens=8)
    with client(models=("toy",), batching=limited) as http, ThreadPoolExecutor(2) as pool:
        first = pool.submit(post, http, input="time")
        assert held.reached.wait(20)
        second = pool.submit(post, http, input="time river time river")
        until(lambda: load_of(http).calls == 1)
        told = http.get("/metrics").text
        assert 'gnomon_queue_waiting{queue="model toy"} 1.0' in told
        assert 'gnomon_queue_running{queue="model toy"} 1.0' in told
        full = post(http, input="time river time river sun")
        refused(full, 429, "tokens are waiting")
        assert int(full.headers["retry-after"]) >= 1
        held.gate.set()
        assert [call.result().status_code for call in (first, second)] == [200, 200]


def test_a_request_that_takes_too_long_is_504(held):
    with client(models=("toy",), limits=Limits(request_seconds=0.05)) as http:
        first = post(http, input="time")
        refused(first, 504, "0.05 seconds")
        held.gate.set()


def test_a_caller_that_leaves_gives_up_its_place(held, monkeypatch):
    states = []
    monkeypatch.setattr(app, "ServerState", lambda settings: states.append(ServerState(settings)) or states[-1])
    with server(models=("toy",)) as address, httpx.Client(base_url=address) as other, ThreadPoolExecutor(1) as pool:
        first = pool.submit(httpx.post, f"{address}/v1/embeddings", json={"input": "time"}, timeout=20)
        assert held.reached.wait(20)
        served = states[0].models.encoders[0]
        with pytest.raises(httpx.ReadTimeout):
            other.post("/v1/embeddings", json={"input": "river"}, timeout=0.2)
        until(lambda: served.load.calls == 0)
        held.gate.set()
        assert first.result().status_code == 200


def test_a_large_body_is_read_beside_other_requests(http, monkeypatch):
    holds_up = []

    def decode(self, tokens):
        with contextlib.suppress(RuntimeError):
            holds_up.append(asyncio.get_running_loop())
        raise InvalidInput(f"{len(tokens)} of them")

    monkeypatch.setattr(ServedEncoder, "decode", decode)
    refused(post(http, input=[[1]] * 20_000), 400, "20000 of them")
    assert not holds_up
