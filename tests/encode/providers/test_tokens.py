"""Tokens before a text is sent: the estimate is above OpenAI's own tokenizer, and not far."""

from __future__ import annotations

import json
import math

import pytest
from semantic_text_splitter import TextSplitter

from gnomon.core.errors import InvalidInput
from gnomon.core.token_counting import load_tokenizer_json
from gnomon.encode.providers.encoder import ProviderEncoder
from gnomon.encode.providers.known import ADDRESS, PROVIDERS
from gnomon.encode.providers.parallel import request_batches
from gnomon.encode.providers.tokens import estimate_tokens
from support.provider_server import provider_server
from support.tiny_encoders import tokenizer

WORDS_MODEL = json.dumps({**tokenizer("bert"), "truncation": None})

TEXTS = {
    "English": "All human beings are born free and equal in dignity and rights. They are endowed with reason.",
    "code": "def add(a: int, b: int) -> int:\n    return a + b  # adds\n\nfor i in range(10):\n\tprint(add(i, i * 2))",
    "numbers": "3.14159 2.71828 1000000 12,345.67 2026-11-30T14:00:00Z 0xdeadbeef 192.168.0.1",
    "German": "Alle Menschen sind frei und gleich an Würde und Rechten geboren; sie sind mit Vernunft begabt.",
    "Turkish": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. Akıl ve vicdana sahiptirler.",
    "Russian": "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "Greek": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
    "Arabic": "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق. وقد وهبوا عقلاً وضميرًا.",
    "Hindi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "Thai": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
    "Chinese": "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神互相对待。",
    "Korean": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "Armenian": "Բոլոր մարդիկ ծնվում են ազատ ու հավասար իրենց արժանապատվությամբ ու իրավունքներով:",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 ok 👍🏽 🎉🎉 😀😃😄😁 ❤️ ✅ 🚀",
}


def is_within(text: str, tokens: int) -> bool:
    """Whether the text has at most so many tokens of OpenAI's embedding models."""
    return len(TextSplitter.from_tiktoken_model("text-embedding-3-small", tokens, trim=False).chunks(text)) <= 1


@pytest.mark.parametrize("language", TEXTS)
def test_an_estimate_is_above_the_count_and_not_far(language: str) -> None:
    estimate = estimate_tokens(TEXTS[language])
    assert is_within(TEXTS[language], estimate)
    assert not is_within(TEXTS[language], math.floor(estimate / 1.9))


def test_an_over_long_text_is_counted_and_refused_before_anything_is_sent() -> None:
    with provider_server(dim=16) as server:
        encoder = ProviderEncoder(PROVIDERS["openai"], "text-embedding-3-small", options=server.options("openai"))
        with pytest.raises(
            InvalidInput, match=r"texts\[1\] has about 9003 tokens, .*:text-embedding-3-small reads 8192"
        ):
            encoder.encode(["short", "words " * 9000], role="document")
        with pytest.raises(InvalidInput, match=r"texts\[1\] is empty"):
            encoder.encode(["short", ""], role="query")
        assert not server.requests


def test_a_tokenizer_on_this_machine_counts_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    from gnomon.core.token_counting import TokenCounting
    from gnomon.encode.providers import encoder as module

    monkeypatch.setattr(
        module, "tokenizer_on_this_machine", lambda hub_id: TokenCounting(WORDS_MODEL) if hub_id == "a/b" else None
    )
    with provider_server(dim=16, models=("a/b",)) as server:
        encoder = ProviderEncoder(ADDRESS, "a/b", prompts={"query": "one "}, options=server.options())
        own = len(load_tokenizer_json(WORDS_MODEL).encode("one two").ids)
        assert encoder.count_tokens(["two"], role="query") == [own]
        assert encoder.tokenizer_json == WORDS_MODEL
        assert encoder.max_tokens == 8192  # as the server's list of models says


def test_requests_are_bounded_by_items_and_by_tokens() -> None:
    assert [list(batch) for batch in request_batches([1] * 5, items=2, tokens=99)] == [[0, 1], [2, 3], [4]]
    assert [list(batch) for batch in request_batches([5, 5, 20, 1], items=9, tokens=10)] == [[0, 1], [2], [3]]
    assert list(request_batches([], items=9, tokens=10)) == []
