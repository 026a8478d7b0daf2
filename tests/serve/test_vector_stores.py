"""Collections as OpenAI's vector stores, by its official client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from gnomon.core.errors import InvalidInput
from gnomon.retrieve.where import parse, to_condition
from gnomon.serve.openai_filters import condition_of
from support.serve_app import make_collection, server


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    folders = {name: make_collection(tmp_path_factory.mktemp(name)) for name in ("kb", "other")}
    with server(folders) as address, openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as found:
        yield found


def test_collections_are_listed_page_by_page(api: openai.OpenAI) -> None:
    assert sorted(store.id for store in api.vector_stores.list(limit=1)) == ["kb", "other"]  # pages are followed
    store = api.vector_stores.retrieve("kb")
    assert (store.object, store.status, store.file_counts.completed) == ("vector_store", "completed", 3)
    assert store.usage_bytes > 0
    with pytest.raises(openai.NotFoundError, match="other2"):
        api.vector_stores.retrieve("other2")


def test_a_search_finds_passages_with_their_attributes(api: openai.OpenAI) -> None:
    page = api.vector_stores.search("kb", query="river in Europe", max_num_results=2)
    first = page.data[0]
    assert (page.object, len(page.data)) == ("vector_store.search_results.page", 2)
    assert (first.file_id, first.filename) == ("rivers/rhine", "rivers/rhine")
    assert first.attributes == {"year": 2022, "lang": "en"}
    assert [(part.type, part.text) for part in first.content] == [("text", "The Rhine is a river in Europe.")]
    assert first.score >= page.data[1].score
    several = api.vector_stores.search("kb", query=["sundial", "Rhine"], max_num_results=2).data
    assert {result.file_id for result in several} == {"rivers/rhine", "guides/sundial.md"}
    high = api.vector_stores.search("kb", query="Rhine", ranking_options={"score_threshold": 0.99}).data
    assert [result.file_id for result in high] == ["rivers/rhine"]


def test_filters_limit_a_search(api: openai.OpenAI) -> None:
    year = {"type": "and", "filters": [{"type": "gte", "key": "year", "value": 2021}]}
    found = api.vector_stores.search("kb", query="the", filters=year).data  # type: ignore[arg-type]
    assert {result.file_id for result in found} == {"guides/clock.md", "rivers/rhine"}
    with pytest.raises(openai.BadRequestError, match="the type 'like'"):
        api.vector_stores.search("kb", query="the", filters={"type": "like", "key": "year"})  # type: ignore[arg-type,typeddict-item]


@pytest.mark.parametrize(
    ("filters", "where"),
    [
        ({"type": "eq", "key": "lang", "value": "en"}, "lang = 'en'"),
        ({"type": "ne", "key": "lang", "value": "en"}, "lang != 'en'"),
        ({"type": "lt", "key": "year", "value": 2020.5}, "year < 2020.5"),
        ({"type": "in", "key": "lang", "value": ["en", "de"]}, "lang in ('en', 'de')"),
        ({"type": "nin", "key": "year", "value": [1, 2]}, "year not in (1, 2)"),
        ({"type": "eq", "key": "id", "value": 3}, '"id" = 3'),
        ({"type": "eq", "key": 'a "b"', "value": True}, '"a ""b""" = true'),
        (
            {
                "type": "or",
                "filters": [
                    {"type": "lte", "key": "a", "value": 1},
                    {
                        "type": "and",
                        "filters": [{"type": "gt", "key": "b", "value": 2}, {"type": "eq", "key": "c", "value": 3}],
                    },
                ],
            },
            "a <= 1 or (b > 2 and c = 3)",
        ),
    ],
)
def test_filters_are_conditions(filters: dict[str, Any], where: str) -> None:
    assert condition_of(filters) == to_condition(parse(where))


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"type": "eq"},
        {"type": "eq", "key": "a"},
        {"type": "and", "filters": []},
        {"type": "and", "filters": ["a"]},
        {"type": ["and"]},
    ],
)
def test_what_is_no_filter_is_refused(filters: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="filter"):
        condition_of(filters)


def test_a_filter_is_as_limited_as_a_condition() -> None:
    each = {"type": "eq", "key": "year", "value": 2020}
    assert condition_of({"type": "or", "filters": [each] * 200})
    with pytest.raises(InvalidInput, match="201 comparisons"):
        condition_of({"type": "or", "filters": [each] * 201})
