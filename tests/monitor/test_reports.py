"""Where runs are told: JSON lines, a webhook on the loopback, a page. And how tests become alarms."""

import json
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from gnomon.core.errors import InvalidInput
from gnomon.monitor import Check, MonitorReport, html_report, notify
from gnomon.monitor.alarms import CheckWithTests, attribute, decide
from gnomon.monitor.report import Alarm, DriftMap

RUN = {
    "at": "2026-01-01T00:00:00+00:00",
    "version": "v1",
    "baseline": "b",
    "states": {"golden": "alarm"},
    "p": {"queries: MMD": 0.5, "golden: CUSUM": 0.001},
    "golden": {"mean": 0.4, "base": 0.5, "n": 50, "fall": 3.0, "sum": 4.5},
    "latency": {"p50": 3.0, "p95": 5.0},
    "causes": ["queries changed"],
}


@pytest.fixture
def report():
    checks = (
        Check("canaries", "ok", "the same vectors"),
        Check(
            "queries",
            "alarm",
            "they <b>differ</b>",
            0.001,
            0.006,
            "queries changed",
            examples=("a <i> text",),
        ),
    )
    rows = np.random.default_rng(0).standard_normal((20, 2))
    return MonitorReport(
        collection="kb",
        at="2026-01-02T00:00:00+00:00",
        version="v1",
        space="toy",
        model="toy",
        baseline="2026-01-01T00:00:00+00:00",
        checks=checks,
        alarms=(Alarm("queries changed", ("queries",), "they differ", "look"),),
        seconds=1.0,
        false_alarms=0.05,
        history=(RUN, RUN),
        maps={"queries": DriftMap(rows, rows + 1)},
    )


@contextmanager
def server(*codes):
    """A web server on the loopback that answers with these codes in turn; gives its address and what came."""
    got, left = [], list(codes)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, self.headers["Content-Type"], json.loads(body)))
            self.send_response(left.pop(0) if left else 200)
            self.end_headers()

        def log_message(self, *_):
            pass

    served = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{served.server_port}/secret-path", got
    finally:
        served.shutdown()
        thread.join()
        served.server_close()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(notify, "_RETRY_DELAY_S", 0.0)


def test_a_webhook_gets_the_report(report):
    with server() as (url, got):
        assert notify.post(report, url) is None
    ((path, kind, body),) = got
    assert (path, kind) == ("/secret-path", "application/json")
    assert body["alarms"][0]["cause"] == "queries changed"
    assert body == json.loads(json.dumps(report.to_json()))


def test_a_webhook_that_fails_once_is_tried_again(report):
    with server(503) as (url, got):
        assert notify.post(report, url) is None
    assert len(got) == 2


def test_a_webhook_that_fails_is_said_without_its_address(report):
    with server(500, 500) as (url, got):
        said = notify.post(report, url)
    assert len(got) == 2
    assert said == "the webhook at 127.0.0.1 was not reached, tried twice: it answered 500"


def test_a_webhook_that_is_down_is_said(report):
    with server() as (url, _):
        pass
    assert "not reached, tried twice" in notify.post(report, url)
    assert "secret" not in notify.post(report, url)


def test_a_webhook_that_never_answers_is_given_up(report):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        said = notify.post(report, f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout_s=0.2)
    assert "timed out" in said


@pytest.mark.parametrize("url", ["ftp://host/x", "file:///etc/passwd", "host/path", "http://", "http://[::1"])
def test_an_address_that_is_none(report, url):
    with pytest.raises(InvalidInput, match="no web address"):
        notify.post(report, url)


def test_lines_are_appended(report, tmp_path):
    for _ in range(2):
        notify.append_line(report, tmp_path / "new" / "log.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "new" / "log.jsonl").read_text().splitlines()]
    assert len(rows) == 2
    assert rows[0]["healthy"] is False


def test_the_page_needs_nothing_else_and_trusts_no_text(report, tmp_path):
    pytest.importorskip("matplotlib")
    text = html_report.write_page(report, tmp_path / "watch.html").read_text()
    assert "Alarm: queries changed" in text
    assert text.count("data:image/png;base64,") == 4
    assert "a &lt;i&gt; text" in text
    assert "<b>differ" not in text
    assert "http" not in text.replace("charset", "")
    assert [path.name for path in tmp_path.iterdir()] == ["watch.html"]


def test_the_page_without_matplotlib(report, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    text = html_report.as_html(report)
    assert "gnomon[plot]" in text
    assert "0.400" in text


def check(name, state="alarm", cause="unknown"):
    return Check(name, state, f"{name} said", cause=cause, hint=f"step of {name}")


def finding(name, *p):
    tests = {f"{name} {at}": value for at, value in enumerate(p)}
    return CheckWithTests(Check(name, "ok", "fine", examples=("x",)), tests, "not fine", "queries changed", "do")


def test_all_tests_of_a_run_are_corrected_together():
    checks = decide([finding("a", 0.02, 0.9), finding("b", 0.03), CheckWithTests(check("c"))], 0.05)
    assert [one.state for one in checks] == ["ok", "ok", "alarm"]
    assert checks[0].adjusted == pytest.approx(0.06)
    assert (checks[0].p_value, checks[0].examples, checks[0].cause) == (0.02, (), None)
    checks = decide([finding("a", 0.016, 0.9), finding("b", 0.3)], 0.05)
    assert (checks[0].state, checks[0].message, checks[0].cause) == ("alarm", "not fine", "queries changed")
    assert checks[1].state == "ok"


def test_one_twentieth_of_looks_at_chance_alone():
    random = np.random.default_rng(0)
    runs = [decide([finding(n, *random.random(2)) for n in "abc"], 0.05) for _ in range(2000)]
    alarms = np.mean([any(one.state == "alarm" for one in look) for look in runs])
    assert 0.03 < alarms < 0.065


GIVEN = {
    "canaries": "model changed",
    "vectors": "index damaged",
    "recall": "index damaged",
    "queries": "queries changed",
    "documents": "documents changed",
    "golden": "unknown",
    "latency": "slower",
}


@pytest.mark.parametrize(
    ("raised", "switched", "expected"),
    [
        ("canaries", None, ["model changed"]),
        ("canaries golden", None, ["model changed"]),
        ("vectors documents golden", None, ["index damaged"]),
        ("recall", None, ["index damaged"]),
        ("queries", None, ["queries changed"]),
        ("documents golden", None, ["documents changed"]),
        ("golden", "v2", ["model changed"]),
        ("golden", None, ["unknown"]),
        ("queries documents latency", None, ["documents changed", "queries changed", "slower"]),
        ("", None, []),
    ],
)
def test_what_an_alarm_is_put_down_to(raised, switched, expected):
    checks = [
        check(name, cause=cause) if name in raised.split() else check(name, "ok") for name, cause in GIVEN.items()
    ]
    found, alarms = attribute(checks, switched=switched)
    assert [alarm.cause for alarm in alarms] == expected
    assert sorted(name for alarm in alarms for name in alarm.checks) == sorted(raised.split())
    assert [one.name for one in found] == list(GIVEN)
    assert all(alarm.hint for alarm in alarms)


def test_a_report_with_notes(report):
    assert report.with_notes("a", "b").notes == ("a", "b")
    assert replace(report, alarms=()).is_healthy
