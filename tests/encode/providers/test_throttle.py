"""Rate limits as servers tell them, and the token buckets that keep to them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.encode.providers.throttle import RateLimit, Throttle, rate_limits, seconds

NOW = 1_795_000_000.0


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("7", 7),
        ("0.25", 0.25),
        ("8ms", 0.008),
        ("1m30s", 90),
        ("6m0s", 360),
        ("1h", 3600),
        (f"{NOW + 5:.0f}", 5),
        (f"{(NOW + 5) * 1000:.0f}", 5),
        ("Wed, 18 Nov 2026 11:06:45 GMT", 5),
        ("2026-11-18T11:06:45Z", 5),
        ("2026-11-18T11:06:30+00:00", 0),
        ("soon", None),
        ("", None),
        ("-3", None),
    ],
)
def test_waits_are_read_in_every_form(text: str, wait: float | None) -> None:
    assert seconds(text, now=NOW) == (None if wait is None else pytest.approx(wait, abs=0.01))


@pytest.mark.parametrize(
    ("headers", "limits"),
    [
        (
            {
                "x-ratelimit-limit-requests": "3000",
                "x-ratelimit-remaining-requests": "2999",
                "x-ratelimit-reset-requests": "20ms",
                "x-ratelimit-limit-tokens": "1000000",
                "x-ratelimit-remaining-tokens": "999000",
                "x-ratelimit-reset-tokens": "60ms",
            },
            {"requests": RateLimit(3000, 2999, 0.02), "tokens": RateLimit(1e6, 999_000, 0.06)},
        ),
        (
            {"anthropic-ratelimit-requests-remaining": "4", "anthropic-ratelimit-requests-limit": "5"},
            {"requests": RateLimit(5, 4)},
        ),
        (
            {"x-ratelimit-remaining-requests": "3", "x-ratelimit-remaining-tokens": "9"},
            {"requests": RateLimit(None, 3), "tokens": RateLimit(None, 9)},
        ),
        (
            {"x-ratelimit-limit-req-minute": "60", "x-ratelimit-remaining-req-minute": "59"},
            {"requests": RateLimit(60, 59)},
        ),
        (
            {"x-trial-endpoint-call-limit": "40", "x-trial-endpoint-call-remaining": "39"},
            {"requests": RateLimit(40, 39)},
        ),
        (
            {"ratelimit-limit": "100, 100;w=60", "ratelimit-remaining": "0", "ratelimit-reset": "30"},
            {"requests": RateLimit(100, 0, 30, refills=False)},
        ),
        ({"x-endpoint-monthly-call-limit": "1000", "x-ratelimit-tokens-query-cost": "7", "date": "now"}, {}),
        ({"x-ratelimit-remaining-requests": "many"}, {}),
    ],
)
def test_limits_are_read_under_every_name(headers: dict[str, str], limits: dict[str, RateLimit]) -> None:
    assert rate_limits(headers, now=NOW) == limits


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def answered(throttle: Throttle, tokens: int, headers: dict[str, str], *, refused: bool = False) -> float:
    return throttle.answered(tokens, headers, sent_at=throttle.clock(), refused=refused)


def told(remaining: int, reset: str = "10s", limit: int = 10, unit: str = "requests") -> dict[str, str]:
    values = {"limit": str(limit), "remaining": str(remaining), "reset": reset}
    return {f"x-ratelimit-{name}-{unit}": value for name, value in values.items()}


def test_nothing_waits_before_a_limit_is_known() -> None:
    throttle = Throttle(Clock())
    assert [throttle.delay(1000) for _ in range(100)] == [0.0] * 100


def test_requests_wait_for_their_share_of_what_comes_back() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    throttle.delay(1)
    answered(throttle, 1, told(2))  # 8 of 10 come back in 10 s
    assert [throttle.delay(1), throttle.delay(1)] == [0.0, 0.0]
    assert throttle.delay(1) == pytest.approx(1.25)
    clock.now += 1.26
    assert throttle.delay(1) == 0.0
    assert throttle.delay(1) > 1


def test_a_window_opens_at_its_end() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    throttle.delay(1)
    answered(throttle, 1, told(0, reset="10"))
    assert throttle.delay(1) == pytest.approx(10)
    clock.now += 10
    assert [throttle.delay(1) for _ in range(10)] == [0.0] * 10


def test_tokens_are_a_bucket_of_their_own_and_a_request_beyond_it_goes_when_it_is_full() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    throttle.delay(500)
    answered(throttle, 500, told(500, limit=1000, unit="tokens"))
    assert throttle.delay(400) == 0.0
    assert throttle.delay(200) == pytest.approx(2.0)
    clock.now += 18.0
    assert throttle.delay(5000) == 0.0


def test_requests_on_their_way_count_against_what_is_left() -> None:
    throttle = Throttle(Clock())
    for _ in range(4):
        throttle.delay(1)
    answered(throttle, 1, told(4))
    assert throttle.delay(1) == 0.0
    assert throttle.delay(1) > 0


def test_a_server_that_refuses_without_a_word_is_asked_as_fast_as_it_answered() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for _ in range(20):  # five a second
        assert throttle.delay(1) == 0.0
        clock.now += 0.2
        answered(throttle, 1, {})
    assert throttle.delay(1) == 0.0
    answered(throttle, 1, {}, refused=True)
    assert throttle.delay(1) == 0.0
    assert throttle.delay(1) == pytest.approx(0.2 * 1.15, rel=0.1)
    clock.now += 20
    assert throttle.delay(1) == 0.0
    answered(throttle, 1, {})
    assert throttle.delay(1) < 0.23
    clock.now += 1.0
    assert throttle.delay(1) == 0.0
    assert throttle.delay(1) < 0.2 * 0.5


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 20), st.floats(0, 3)), max_size=30), st.integers(1, 20))
def test_it_never_waits_longer_than_the_server_asks(steps: list[tuple[int, float]], limit: int) -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for remaining, pause in steps:
        while (wait := throttle.delay(1)) > 0:
            assert wait <= 10.0
            clock.now += wait + 1e-6
        answered(throttle, 1, told(min(remaining, limit), limit=limit))
        clock.now += pause
