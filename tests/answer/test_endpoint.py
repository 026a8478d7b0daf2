"""A language model behind an address: what comes, what goes wrong, and what is said then."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from gnomon.answer.llm import endpoint as module
from gnomon.answer.llm.endpoint import Endpoint, base_url
from gnomon.answer.types import ChatModel, Message
from gnomon.core.errors import GenerationFailed, InvalidInput, PromptTooLong
from gnomon.core.servers import is_loopback
from support.endpoint_server import (
    EndpointServer,
    Step,
    chunk,
    completion,
    cut,
    fails,
    fails_in_stream,
    free_port,
    hangs_up,
    replies,
    rubbish,
    rubbish_stream,
    says,
    says_whole,
    sends,
    silent,
    stalls,
    streams,
    too_long,
)

ASKED = [Message("system", "Answer."), Message("user", "What is the capital of France?")]
KEY = "sk-secret-of-the-test"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STREAM_RETRY_WAIT_S", 0.01)
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    for name in ("OPENAI_API_KEY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def _ask(server: EndpointServer, *, max_tokens: int = 64, **given: Any) -> list[str]:
    model = Endpoint(server.url, "toy", **{"timeout_s": 5.0, **given})
    return list(model.stream(ASKED, max_tokens=max_tokens))


def _failure(server: EndpointServer, step: Step, **given: Any) -> GenerationFailed:
    server.script = [step]
    with pytest.raises(GenerationFailed) as caught:
        _ask(server, **given)
    return caught.value


def _until_failure(server: EndpointServer) -> tuple[str, GenerationFailed]:
    text, reply = "", Endpoint(server.url, "toy").stream(ASKED, max_tokens=9)
    for _ in range(100):
        try:
            text += next(reply)
        except GenerationFailed as error:
            return text, error
    raise AssertionError("no failure")


# What is asked, and what comes ------------------------------------------------------------------------------


def test_a_reply_comes_in_pieces(server: EndpointServer) -> None:
    server.script = [says("Paris is the capital of France.")]
    model: ChatModel = Endpoint(server.url, "toy")
    pieces = list(model.stream(ASKED, max_tokens=9, temperature=0.5))
    assert "".join(pieces) == "Paris is the capital of France."
    assert len(pieces) == 5
    assert model.name == "toy"
    (asked,) = server.requests
    body = dict(asked.body)
    assert body.pop("messages") == [{"role": m.role, "content": m.content} for m in ASKED]
    assert body == {"model": "toy", "stream": True, "max_tokens": 9, "temperature": 0.5}


def test_pieces_come_as_they_are_written(server: EndpointServer) -> None:
    server.script = [stalls("Paris")]
    reply = Endpoint(server.url, "toy").stream(ASKED, max_tokens=9)
    assert next(reply) == "Paris"
    reply.close()


def test_a_server_that_does_not_stream_works_too(server: EndpointServer) -> None:
    for step in (says_whole("Paris."), sends(_indented(completion("Paris.")), kind="text/plain")):
        server.script = [step]
        assert _ask(server) == ["Paris."]


def _indented(body: object) -> str:
    import json

    return json.dumps(body, indent=2)


def test_characters_that_end_lines_elsewhere_do_not_end_events(server: EndpointServer) -> None:
    text = "a\u2028b\u0085c\nd é 漢"
    server.script = [streams([text])]
    assert _ask(server) == [text]


def test_events_of_other_kinds_are_passed_over(server: EndpointServer) -> None:
    import json

    usage = {"choices": [], "usage": {"total_tokens": 3}}
    events = [
        chunk({"reasoning_content": "hm"}),
        usage,
        chunk({"content": "Paris."}),
        chunk({}, "stop"),
        usage,
    ]
    raw = ": keep-alive\r\n\r\n" + "".join(f"data:{json.dumps(event)}\r\n\r\n" for event in events)
    server.script = [sends(raw + "data: [DONE]\r\n\r\n", kind="text/event-stream")]
    assert _ask(server) == ["Paris."]
    parts = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Paris."}]
    server.script = [rubbish_stream(json.dumps(chunk({"content": parts}, "stop")))]
    assert _ask(server) == ["Paris."]


@pytest.mark.parametrize("size", [1, 3, 100])
def test_thoughts_before_the_reply_are_left_out(server: EndpointServer, size: int) -> None:
    server.script = [says("<think>\nFrance? Its capital\n</think>\n\nParis <think> is it.", size=size)]
    assert "".join(_ask(server)) == "Paris <think> is it."
    server.script = [says("<th", size=size)]
    assert "".join(_ask(server)) == "<th"


def test_a_finish_reason_ends_a_stream_and_done_alone_does_not(server: EndpointServer) -> None:
    server.script = [streams(["Paris."], done=False)]
    assert _ask(server) == ["Paris."]
    server.script = [streams(["Paris."], finish=None)]
    text, error = _until_failure(server)
    assert text == "Paris."
    assert "broke off in the middle of its reply" in error.message


def test_parameters_that_a_model_refuses_are_left_out(server: EndpointServer) -> None:
    renamed = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
    fixed = "Unsupported value: 'temperature' does not support 0 with this model."
    server.script = [fails(400, renamed), fails(400, fixed, code="unsupported_value"), says("Paris.")]
    model = Endpoint(server.url, "toy", retries=0)
    assert list(model.stream(ASKED, max_tokens=9)) == ["Paris."]
    assert list(model.stream(ASKED, max_tokens=8)) == ["Paris."]  # it is known by now
    assert len(server.requests) == 4
    assert server.requests[-1].body["max_completion_tokens"] == 8
    assert not {"max_tokens", "temperature"} & set(server.requests[-1].body)
    server.script = [fails(400, renamed)]
    with pytest.raises(GenerationFailed, match="max_completion_tokens"):
        list(model.stream(ASKED, max_tokens=9))


def test_half_characters_can_be_asked(server: EndpointServer) -> None:
    server.script = [says("Yes.")]
    model = Endpoint(server.url, "toy")
    assert list(model.stream([Message("user", "caf\udce9")], max_tokens=9)) == ["Yes."]
    assert server.requests[0].prompt == "caf?"


def test_threads_share_an_endpoint(server: EndpointServer) -> None:
    server.script = [replies(lambda asked: f"You said {asked.prompt}.")]
    model = Endpoint(server.url, "toy")

    def ask(number: int) -> str:
        return "".join(model.stream([Message("user", str(number))], max_tokens=9))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(12))) == [f"You said {number}." for number in range(12)]
    model.close()
    assert ask(7) == "You said 7."


def test_closing_ends_the_request_at_once(server: EndpointServer) -> None:
    server.script = [streams(["word "] * 400, pause_s=0.02)]
    reply = Endpoint(server.url, "toy").stream(ASKED, max_tokens=500)
    assert next(reply) == "word "
    assert not server.disconnected.is_set()
    reply.close()
    assert server.disconnected.wait(5)
    assert threading.active_count() < 20


# Addresses and keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("http://localhost:11434", "http://localhost:11434/v1"),
        ("http://localhost:11434/", "http://localhost:11434/v1"),
        ("http://localhost:11434/v1", "http://localhost:11434/v1"),
        (" http://localhost:11434/v1/ ", "http://localhost:11434/v1"),
        ("https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1"),
        ("http://[::1]:8080", "http://[::1]:8080/v1"),
        ("http://h/v1/chat/completions", "http://h/v1"),
    ],
)
def test_addresses_are_taken_in_all_their_forms(given: str, asked: str) -> None:
    assert base_url(given) == asked == Endpoint(given, "toy").url


@pytest.mark.parametrize("url", ["localhost:11434", "ftp://h", "http://", "", "http://h:x", "http://[h", "h"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="http://HOST:PORT/v1"):
        Endpoint(url, "toy")


def test_a_key_in_an_address_is_refused_and_not_shown() -> None:
    for url in (f"https://me:{KEY}@host/v1", f"https://host/v1?key={KEY}", f"https://host/v1#{KEY}"):
        with pytest.raises(InvalidInput, match="OPENAI_API_KEY") as caught:
            Endpoint(url, "toy")
        assert KEY not in str(caught.value)


def test_addresses_of_this_machine() -> None:
    own = (
        "http://localhost:1/v1",
        "http://127.0.0.9/v1",
        "http://[::1]/v1",
        "http://a.localhost",
        "http://0.0.0.0",
    )
    assert all(is_loopback(url) for url in own)
    assert not any(is_loopback(url) for url in ("http://example.org", "http://10.0.0.1", "http://localhost.org"))


def test_the_environment_gives_the_key(server: EndpointServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.script = [says("Yes.")]
    _ask(server)
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    _ask(server)
    _ask(server, key="another")
    sent = [asked.headers["authorization"] for asked in server.requests]
    assert sent == ["Bearer none", f"Bearer {KEY}", "Bearer another"]
    assert KEY not in repr(Endpoint(server.url, "toy"))
    with pytest.raises(InvalidInput) as caught:
        Endpoint(server.url, "toy", key=f"{KEY}\nHost: evil")
    assert KEY not in str(caught.value)


def test_proxies_do_not_catch_calls_to_this_machine(server: EndpointServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NO_PROXY", "")
    server.script = [says("Yes.")]
    assert _ask(server, retries=0) == ["Yes."]


def test_numbers_and_names_are_checked() -> None:
    for given in ({"timeout_s": 0.0}, {"timeout_s": float("nan")}, {"retries": -1}, {"retries": 11}):
        with pytest.raises(InvalidInput, match=next(iter(given))):
            Endpoint("http://h", "toy", **given)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="without a name"):
        Endpoint("http://h", " ")


def test_the_package_is_loaded_late_and_its_lack_is_explained() -> None:
    late = "import sys, gnomon.answer.llm.endpoint as e; e.Endpoint('http://h', 'm')\nsys.exit('openai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", late], check=False).returncode == 0
    lacking = (
        "import sys, importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'openai' else real(name, *rest)\n"
        "import gnomon.answer.llm.endpoint as e\n"
        "try:\n    e.Endpoint('http://h', 'm')\n"
        "except e.InvalidInput as error:\n    print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", lacking], check=True, capture_output=True, text=True).stdout
    assert "pip install 'gnomon[answer]'" in told


# What goes wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step", [fails(500), fails(503), fails(429), hangs_up(), cut(), fails_in_stream()], ids=range(6)
)
def test_a_second_try_mends_what_passes(server: EndpointServer, step: Step) -> None:
    server.script = [step, step, says("Paris.")]
    assert _ask(server) == ["Paris."]
    assert len(server.requests) == 3
    assert "broke off" in str(_failure(server, hangs_up(), retries=0))


def test_tries_have_an_end(server: EndpointServer) -> None:
    error = _failure(server, fails(500, "out of \x1b[31mmemory\n<b>now</b>"), retries=2)
    assert len(server.requests) == 3
    assert error.message == f"{server.url} answered with HTTP status 500: out of [31mmemory now"
    assert error.hint


def test_a_server_that_asks_for_time_gets_it(server: EndpointServer) -> None:
    server.script = [fails(429, retry_after="0.3"), says("Paris.")]
    begun = time.monotonic()
    assert _ask(server) == ["Paris."]
    assert time.monotonic() - begun >= 0.3
    error = _failure(server, fails(429, "slow down", retry_after="3600"))
    assert "Retry-After: 3600" in error.hint
    assert len(server.requests) == 3
    assert "slow down" in error.message


def test_the_time_to_wait_may_be_a_date(server: EndpointServer) -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    assert f"Retry-After: {at}" in _failure(server, fails(503, retry_after=at)).hint
    assert len(server.requests) == 1
    for odd in ("soon", "nan", "inf", "-5", "Wed, 21 Oct 2015 07:28:00 GMT"):
        server.script = [fails(503, retry_after=odd), says("Paris.")]
        assert _ask(server) == ["Paris."]


def test_nothing_is_asked_again_after_text_has_come(server: EndpointServer) -> None:
    for step in (cut("Par", "is"), cut("Par", "is", clean=True), fails_in_stream("Par", "is")):
        server.requests.clear()
        server.script = [step]
        text, error = _until_failure(server)
        assert text == "Paris"
        assert len(server.requests) == 1
        assert "in the middle of its reply" in error.message or "ran out of memory" in error.message


def test_a_server_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    with pytest.raises(GenerationFailed) as caught:
        list(Endpoint(url, "toy", retries=1, key=KEY).stream(ASKED, max_tokens=9))
    assert url in caught.value.message
    assert "refused" in caught.value.message
    assert "ollama serve" in caught.value.hint
    assert caught.value.__cause__ is None


def test_a_server_that_is_slow(server: EndpointServer) -> None:
    error = _failure(server, silent(), timeout_s=0.2)
    assert error.message == f"{server.url} sent nothing for 0.2 seconds"
    assert len(server.requests) == 1
    assert server.disconnected.wait(5)
    error = _failure(server, stalls("Par"), timeout_s=0.2)
    assert error.message == f"{server.url} sent nothing for 0.2 seconds"


def test_a_reply_that_never_ends(server: EndpointServer) -> None:
    error = _failure(server, streams(["word "] * 400, pause_s=0.04), timeout_s=0.1)
    assert error.message == f"{server.url} did not end its reply within 1 seconds"
    assert server.disconnected.wait(5)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (rubbish(), "text/html that begins"),
        (sends(""), "an empty body"),
        (sends("{"), "what is no JSON: '{'"),
        (sends("[]"), "JSON that is no object"),
        (sends('{"ok": true}'), "JSON without choices"),
        (sends('{"choices": []}'), "JSON without choices"),
        (sends('{"choices": "x"}'), "choices that are none"),
        (sends('{"choices": [{"message": {"content": 5}}]}'), "a text that is none: '5'"),
        (sends('{"choices": [{"message": "x"}]}'), "a choice of another form"),
        (sends("[" * 100_000), "what is no JSON"),
        (rubbish_stream(), "what is no JSON: '{not json'"),
        (rubbish_stream("42"), "JSON that is no object: '42'"),
        (rubbish_stream("null", "[DONE]"), "JSON that is no object"),
        (rubbish_stream('{"choices": [7]}'), "choices that are none"),
        (rubbish_stream('{"ping": 1}'), "a stream without choices"),
        (rubbish_stream("[DONE]"), "a stream without choices"),
        (rubbish_stream('{"choices": [{"delta": {}, "finish_reason": 3}]}'), "a choice of another form"),
        (rubbish_stream("\x1b[2J\x07bell"), "what is no JSON"),
    ],
    ids=range(18),
)
def test_rubbish_is_named(server: EndpointServer, step: Step, said: str) -> None:
    error = _failure(server, step)
    assert error.message.startswith(f"{server.url} sent ")
    assert said in error.message
    assert "\x1b" not in str(error)
    assert "OpenAI-compatible" in error.hint
    assert len(server.requests) == 1


def test_a_body_without_an_end_is_not_kept(server: EndpointServer) -> None:
    assert "a body of more than 4194304 bytes" in str(_failure(server, sends("data: " + "x" * (5 * 1024 * 1024))))


def test_no_key_and_wrong_key(server: EndpointServer, monkeypatch: pytest.MonkeyPatch) -> None:
    error = _failure(server, fails(401, "Missing bearer"))
    assert "no key (OPENAI_API_KEY is not set)" in error.message
    assert "Missing bearer" in error.message
    assert "OPENAI_API_KEY" in error.hint
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    error = _failure(server, fails(403, f"Incorrect key: {KEY}"))
    assert "the key in OPENAI_API_KEY" in error.message
    assert KEY not in str(error) + repr(error)
    error = _failure(server, fails(401), key="x1")
    assert "the key that was given" in error.message
    assert len(server.requests) == 3


def test_an_unknown_model_names_those_that_are_there(server: EndpointServer) -> None:
    server.models = ["qwen3:0.6b", "llama3.2:1b"]
    error = _failure(server, fails(404, "model not found, try pulling it first"))
    assert error.message == f"{server.url} has no model 'toy': model not found, try pulling it first"
    assert error.expected == "one of its models: qwen3:0.6b, llama3.2:1b"
    assert server.listed == 1
    server.models = [f"m{number}" for number in range(30)]
    assert "m9 and 20 more" in _failure(server, fails(404)).expected
    server.models = ["toy"]
    assert "lists the model" in _failure(server, fails(404)).hint
    server.models = []
    assert "ollama pull" in _failure(server, fails(404)).hint
    server.models = None
    assert "/v1" in _failure(server, fails(404)).hint


def test_a_wrong_page(server: EndpointServer) -> None:
    with pytest.raises(GenerationFailed, match="status 404: no page at /elsewhere/chat/completions"):
        list(Endpoint(server.url.replace("/v1", "/elsewhere"), "toy").stream(ASKED, max_tokens=9))


@pytest.mark.parametrize(
    "step",
    [
        too_long(),
        fails(400, "the request exceeds the available context size. try increasing it"),
        fails(400, "You passed 1015 input tokens. However, the model's context length is only 1024 tokens."),
        fails(422, "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 9000 `inputs` tokens"),
        fails(
            400,
            "'max_tokens' or 'max_completion_tokens' is too large: the maximum context length is 9",
        ),
        fails(413, "body too large"),
        sends('{"error": {"type": "exceed_context_size_error", "message": "no"}}'),
    ],
    ids=range(7),
)
def test_a_prompt_that_is_too_long(server: EndpointServer, step: Step) -> None:
    error = _failure(server, step)
    assert isinstance(error, PromptTooLong)
    assert "toy" in error.message
    assert "budget_tokens" in error.hint
    assert len(server.requests) == 1


def test_a_refused_request_is_not_a_long_prompt(server: EndpointServer) -> None:
    error = _failure(server, fails(400, "max_tokens is too large: this model writes at most 16384 tokens"))
    assert type(error) is GenerationFailed
    assert "HTTP status 400: max_tokens is too large" in error.message
    assert len(server.requests) == 1
    assert "plan" in _failure(server, fails(429, "no credit", code="insufficient_quota")).hint
    assert len(server.requests) == 2
    assert "pages of text" in _failure(server, sends("pages <b>of</b> text", status=418, kind="text/html")).message


def test_replies_that_are_not_whole_say_so(server: EndpointServer) -> None:
    for step in (says("Paris is the", finish="length"), says_whole("Paris is the", finish="length")):
        server.script = [step]
        text, error = _until_failure(server)
        assert text == "Paris is the"
        assert "9 tokens were used up" in error.message
        assert "max_tokens" in error.hint
    assert "thinks first" in _failure(server, says("<think>well, ", finish="length")).hint
    assert "content filter" in _failure(server, says("Paris", finish="content_filter")).message
    assert "wrote nothing" in _failure(server, says("")).message
    assert "wrote nothing" in _failure(server, says(" \n", finish="tool_calls")).message
