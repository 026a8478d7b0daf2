"""The table of models."""

import re

import pytest

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.cards import all_cards, card_for, nearest_names
from gnomon.encode.hub.locate import locate
from gnomon.encode.layout.model import read_layout

CARDS = all_cards()


def test_the_first_card_is_the_default_model():
    assert CARDS[0].name == "all-MiniLM-L6-v2"


def test_names_and_hub_ids_are_each_given_once():
    names = [name.casefold() for card in CARDS for name in (card.name, card.hub_id) if name]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_a_card_is_of_one_piece(card):
    assert card.hub_id.endswith(f"/{card.name}") if card.hub_id else card.provider
    assert set(card.prompts) | set(card.needs_prompts) <= {"query", "document"}
    assert card.pooling in ("mean", "cls", "last", "max") if card.one_vector else card.pooling is None
    assert card.similarity in ("cosine", "dot", "euclidean")
    assert card.normalise or card.similarity != "cosine"
    assert all(0 < dim < card.dim or card.provider for dim in card.dims_matryoshka)
    assert bool(card.dim) == (card.kind != "cross")
    assert card.max_tokens >= 128
    assert card.provider or (card.parameters > 0 and card.family)
    assert card.languages
    assert card.licence
    assert all(part.source.startswith("https://") and part.date for part in (card.price, *card.scores) if part)
    assert re.fullmatch("([0-9a-f]{64})?", card.digest)
    assert card.digest or not card.package, "what a package holds must be known"


@pytest.mark.parametrize(
    ("name", "query", "document"),
    [
        # As each model's own page on the hub says.
        ("e5-base-v2", "query: ", "passage: "),
        ("multilingual-e5-large", "query: ", "passage: "),
        ("bge-small-en-v1.5", "Represent this sentence for searching relevant passages: ", ""),
        ("snowflake-arctic-embed-l", "Represent this sentence for searching relevant passages: ", ""),
        ("snowflake-arctic-embed-l-v2.0", "query: ", ""),
        ("nomic-embed-text-v1.5", "search_query: ", "search_document: "),
        ("gte-small", "", ""),
        ("bge-m3", "", ""),
    ],
)
def test_prompts(name, query, document):
    card = card_for(name)
    assert (card.prompts.get("query", ""), card.prompts.get("document", "")) == (query, document)


def test_a_card_is_found_by_either_name_in_any_case():
    assert card_for("ALL-minilm-l6-V2") is card_for("Sentence-Transformers/all-MiniLM-L6-v2") is CARDS[0]
    assert card_for("all-MiniLM") is None


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("text-embedding-3-small", "openai:text-embedding-3-small"),
        ("BAAI/bge-smal-en-v1.5", "bge-small-en-v1.5"),
        ("minilm-l6", "all-MiniLM-L6-v2"),
        ("voyage:voyage4", "voyage:voyage-4"),
    ],
)
def test_a_mistyped_name_has_a_near_one(name, near):
    assert near in nearest_names(name)


def test_nothing_is_near_a_name_like_no_other():
    assert nearest_names("zzz") == []
    assert card_for("") is None


def test_a_providers_model_has_no_files_to_fetch():
    with pytest.raises(ModelUnsupported, match="openai:text-embedding-3-small runs at its provider"):
        locate("openai:text-embedding-3-small")


def test_the_default_card_says_what_its_files_say(minilm_folder):
    card = CARDS[0]
    layout = read_layout(minilm_folder, name="any")
    said = (layout.kind, layout.pooling, layout.normalise, layout.dim, layout.max_tokens, layout.similarity)
    assert said == (card.kind, card.pooling, card.normalise, card.dim, card.max_tokens, card.similarity)
    assert layout.ingredients(precision="float").weights == card.digest
    with_card = read_layout(minilm_folder, name="any", card=card)
    assert with_card.ingredients(precision="float") == layout.ingredients(precision="float")
