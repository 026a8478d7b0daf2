"""What providers' servers do wrong, and what becomes of it: nothing wrong is stored, nothing good is lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from gnomon.core.errors import GnomonError, InvalidInput, ModelNotFound, ProviderFailed, SpaceMismatch
from gnomon.encode.providers.description import ProviderSettings
from gnomon.encode.providers.encoder import ProviderEncoder
from gnomon.encode.providers.known import ADDRESS, PROVIDERS
from support.endpoint_server import free_port
from support.provider_server import (
    KEY,
    MODELS,
    Fault,
    ProviderServer,
    as_model,
    cut_off,
    fails,
    filled,
    hangs_up,
    other_dim,
    provider_server,
    rate_limited,
    reordered,
    same_index,
    sends,
    slow,
    too_few,
    too_many,
)

TEXTS = [f"text number {number} of several" for number in range(10)]
TRANSIENT: dict[str, list[Fault | None]] = {
    "429 with retry-after": [rate_limited(0.01)],
    "429 with retry-after-ms": [rate_limited(0.01, style="retry-after-ms")],
    "429 as OpenAI's": [rate_limited(0.01, style="openai")],
    "429 as Anthropic's": [rate_limited(0.01, style="anthropic")],
    "429 as Mistral's": [rate_limited(style="mistral", limit=6000)],
    "429 as the IETF's": [rate_limited(0.01, style="ietf")],
    "429 as Google's": [rate_limited(0.01, style="google")],
    "429 without a word": [rate_limited(style="none")],
    "408, 409, 500, 502, 503, 529": [fails(status, "<html>busy</html>") for status in (408, 409, 500, 502, 503, 529)],
    "a cut-off body": [cut_off(), cut_off(0.0)],
    "a closed connection": [hangs_up()],
    "no JSON": [sends("<html>a proxy's page</html>")],
    "cut JSON that says it is whole": [sends('{"data": [')],
}
BROKEN: dict[str, tuple[Fault, str]] = {
    "too few": (too_few(), "9 results for 10 texts"),
    "too many": (too_many(), "11 results for 10 texts"),
    "one index": (same_index(), "indices that are not 0 to 9"),
    "NaN": (filled(np.nan), "1 vectors that are zero, NaN or infinite"),
    "infinite": (filled(np.inf), "1 vectors that are zero, NaN or infinite"),
    "zero": (filled(0.0), "1 vectors that are zero, NaN or infinite"),
    "dimensions": (other_dim(), "vectors of 15 dimensions, not 16"),
    "no list": (sends('{"object": "list"}'), "no list 'data'"),
    "no numbers": (sends('{"data": [{"embedding": {"a": 1}, "index": 0}]}'), "no list of numbers"),
    "an array": (sends("[1, 2]"), "no list 'data'"),
}


def opened(server: ProviderServer, provider: str = "openai", **options: Any) -> ProviderEncoder:
    known = {**PROVIDERS, "address": ADDRESS}[provider]
    return ProviderEncoder(known, MODELS[provider], options=server.options(provider, **{"dim": 16, **options}))


def encoded(faults: Sequence[Fault | None], **options: Any) -> tuple[ProviderServer, np.ndarray[Any, Any]]:
    with provider_server(dim=16) as server:
        server.faults = faults
        return server, opened(server, **options).encode(TEXTS, role="document").data


@pytest.mark.parametrize("fault", TRANSIENT)
def test_what_passes_is_tried_again(fault: str) -> None:
    server, data = encoded(TRANSIENT[fault])
    _, wanted = encoded([])
    assert np.array_equal(data, wanted)
    assert len(server.requests) == len(TRANSIENT[fault]) + 1
    assert set(server.embedded.values()) == {1}


def test_a_slow_answer_is_asked_for_again() -> None:
    server, data = encoded([slow(0.4)], timeout_s=0.15)
    assert len(data) == 10
    assert len(server.requests) == 2


@pytest.mark.parametrize("provider", ["openai", "voyage", "mistral", "jina", "address"])
def test_answers_in_another_order_are_put_right(provider: str) -> None:
    with provider_server(dim=16) as server:
        encoder = opened(server, provider)
        wanted = encoder.encode(TEXTS, role="document").data
        server.faults = [None, reordered()]
        assert np.array_equal(encoder.encode(TEXTS, role="document").data, wanted)


@pytest.mark.parametrize("case", BROKEN)
def test_a_wrong_answer_is_refused_whole_and_not_asked_for_again(case: str) -> None:
    fault, message = BROKEN[case]
    with provider_server(dim=16) as server:
        server.faults = [fault]
        encoder = opened(server)
        with pytest.raises(ProviderFailed, match=message) as caught:
            encoder.encode(TEXTS, role="document")
    assert "nothing of this answer, of 10 texts, is used" in caught.value.message
    assert len(server.requests) == encoder.usage.requests == 1  # it was billed


def test_retries_end() -> None:
    with provider_server(dim=16, fault_of=lambda number: fails(503)) as server:
        with pytest.raises(ProviderFailed, match=r"HTTP status 503: the server is unwell \(tried 4 times\)"):
            opened(server, retries=3).encode(TEXTS, role="document")
        assert len(server.requests) == 4


def test_retries_end_when_their_time_is_over() -> None:
    with provider_server(dim=16, fault_of=lambda number: rate_limited(60)) as server:
        with pytest.raises(ProviderFailed, match="HTTP status 429") as caught:
            opened(server, retry_s=5).encode(TEXTS, role="document")
        assert len(server.requests) == 1
    assert "run the same again in 60 s" in caught.value.hint


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        (fails(429, {"error": {"message": "You exceeded it", "code": "insufficient_quota"}}), ProviderFailed, "budget"),
        (fails(402, {"detail": "no balance"}), ProviderFailed, "budget at OpenAI is used up: HTTP status 402"),
        (fails(429, {"error": {"details": [{"quotaId": "EmbedPerDayPerProject"}]}}), ProviderFailed, "budget"),
        (fails(401, {"error": {"message": "bad"}}), ProviderFailed, "refused the key that was given: HTTP status 401"),
        (fails(403), ProviderFailed, "refused the key that was given"),
        (fails(404, {"error": {"message": "no such model"}}), ModelNotFound, "OpenAI has no model"),
        (fails(400, {"detail": "Model x is not supported. Supported: y"}), ModelNotFound, "OpenAI has no model"),
        (fails(400, {"message": "maximum context length is 8192 tokens"}), InvalidInput, "maximum context length"),
        (fails(422, {"detail": [{"msg": "wrong"}]}), InvalidInput, "HTTP status 422"),
    ],
)
def test_what_no_retry_mends_is_not_tried_again(fault: Fault, kind: type[GnomonError], message: str) -> None:
    with provider_server(dim=16) as server:
        server.faults = [fault]
        with pytest.raises(kind, match=message) as caught:
            opened(server).encode(TEXTS, role="document")
        assert len(server.requests) == 1
    assert caught.value.expected
    assert caught.value.hint


def test_an_unknown_model_is_answered_with_near_names() -> None:
    with provider_server(models=("nomic-embed-text", "other")) as server:
        encoder = ProviderEncoder(ADDRESS, "nomic-embed-txt", options=server.options())
        with pytest.raises(ModelNotFound, match="has no model 'nomic-embed-txt'") as caught:
            _ = encoder.space
    assert "nomic-embed-text, other" in caught.value.expected
    assert caught.value.hint == f"did you mean {server.url()}#nomic-embed-text?"
    with provider_server(models=()) as server:
        encoder = ProviderEncoder(PROVIDERS["openai"], "text-embedding-3-smal", options=server.options("openai"))
        with pytest.raises(ModelNotFound) as caught:
            encoder.encode(["a"], role="query")
    assert caught.value.hint.startswith("did you mean openai:text-embedding-3-small")


def test_no_network() -> None:
    options = ProviderServer(port=free_port()).options("openai", retries=1, dim=16)
    encoder = ProviderEncoder(PROVIDERS["openai"], "m", options=options)
    with pytest.raises(ProviderFailed, match=r"OpenAI cannot be reached at http://127.0.0.1:\d+.* \(tried 2 times\)"):
        encoder.encode(["a"], role="query")


def test_what_was_answered_before_a_failure_comes_first() -> None:
    with provider_server(dim=16, fault_of=lambda number: fails(400) if number == 4 else None) as server:
        encoder = opened(server, batch_items=2, parallel=1)
        batches = encoder.encode_batches(TEXTS, role="document")
        came = [next(batches).positions.tolist() for _ in range(3)]
        with pytest.raises(InvalidInput, match="HTTP status 400"):
            next(batches)
        assert came == [[0, 1], [2, 3], [4, 5]]
        assert len(server.requests) == 4  # none was sent after it
        assert sum(server.embedded.values()) == 6 == encoder.usage.texts
        server.fault_of = None
        rest = encoder.encode(TEXTS[6:], role="document")
    assert len(rest) == 4
    assert set(server.embedded.values()) == {1}


def test_a_refused_request_beside_others_loses_none_of_them() -> None:
    with provider_server(dim=16, fault_of=lambda number: fails(400) if number == 2 else slow(0.1)) as server:
        encoder = opened(server, batch_items=2, parallel=4)
        batches = encoder.encode_batches(TEXTS, role="document")
        came = sorted(next(batches).positions.tolist() for _ in range(3))
        with pytest.raises(InvalidInput):
            next(batches)
    assert len({at for batch in came for at in batch}) == 6
    assert sum(server.embedded.values()) == encoder.usage.texts == 6


def test_a_caller_who_goes_away_ends_the_retries() -> None:
    with provider_server(dim=16, fault_of=lambda number: None if number == 1 else rate_limited(30)) as server:
        encoder = opened(server, batch_items=5, parallel=2, retry_s=100)
        batches = encoder.encode_batches(TEXTS, role="document")
        next(batches)
        batches.close()  # type: ignore[attr-defined]
    assert len(server.requests) in (1, 2)  # the second may not have been on its way yet


def test_another_model_behind_the_name_is_refused() -> None:
    with provider_server(dim=16) as server:
        server.faults = [None, as_model("m-2026-11")]
        encoder = opened(server)
        encoder.encode(TEXTS, role="document")
        assert encoder.served_model == MODELS["openai"]
        with pytest.raises(SpaceMismatch, match="OpenAI answered as m-2026-11, and before as text-embedding-3-small"):
            encoder.encode(TEXTS, role="query")


def test_an_echoed_key_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    import traceback

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with provider_server(dim=16) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url("openai"))
        encoder = ProviderEncoder(PROVIDERS["openai"], "text-embedding-3-small", options=ProviderSettings(retries=0))
        for body in ({"error": {"message": f"Incorrect key {KEY}."}}, f"<p>{KEY}</p>", {"detail": [KEY]}):
            for status in (400, 401, 404, 500):
                server.requests, server.faults = [], [fails(status, body)]
                with pytest.raises(GnomonError) as caught:
                    encoder.encode(["a text"], role="query")
                stack = traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack
                frames = [frame.locals for frame in stack if "providers/test_" not in frame.filename]
                assert len(frames) > 3
                assert KEY not in "".join([repr(frames), repr(vars(caught.value)), str(caught.value)])
                assert caught.value.__context__ is None
        assert KEY not in repr([encoder, encoder.space, encoder.usage, server.options("openai"), encoder.provider])


def test_a_provider_without_its_key_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VOYAGE_API_KEY", raising=False)
    with pytest.raises(ProviderFailed, match="VOYAGE_API_KEY is not set") as caught:
        ProviderEncoder(PROVIDERS["voyage"], "voyage-4")
    assert caught.value.hint == "export VOYAGE_API_KEY=..."
    monkeypatch.setenv("VOYAGE_API_KEY", "a\nkey")
    with pytest.raises(InvalidInput, match="characters that no key has"):
        ProviderEncoder(PROVIDERS["voyage"], "voyage-4")
