"""A space is what decides its vectors, and nothing else."""

import json
import pickle
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.errors import InvalidInput, SpaceMismatch
from gnomon.core.space import Ingredients, Space

# Lone surrogates are in: a prompt read from a broken file must still have a fingerprint.
TEXT = st.text(st.characters(), max_size=12)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "weights": TEXT,
    "architecture": TEXT,
    "tokenizer": TEXT,
    "pooling": TEXT,
    "projection": TEXT,
    "prompts": st.dictionaries(TEXT, TEXT, max_size=3),
    "normalise": st.booleans(),
    "max_tokens": st.integers(1, 10_000),
    "dim": st.integers(1, 4096),
    "similarity": st.sampled_from(["cosine", "dot", "euclidean", "maxsim"]),
    "precision": st.sampled_from(["float", "int8"]),
}
INGREDIENTS = st.builds(Ingredients, **VALUES)
SPACES = st.builds(Space.of, INGREDIENTS, name=TEXT)


def test_every_ingredient_is_varied_here() -> None:
    assert set(VALUES) == {field.name for field in fields(Ingredients)}


@pytest.mark.parametrize("ingredient", VALUES)
@given(data=st.data())
def test_any_change_of_one_ingredient_changes_the_fingerprint(ingredient: str, data: st.DataObject) -> None:
    one = data.draw(INGREDIENTS)
    value = data.draw(VALUES[ingredient].filter(lambda v: v != getattr(one, ingredient)))
    assert replace(one, **{ingredient: value}).fingerprint() != one.fingerprint()


@given(INGREDIENTS, INGREDIENTS)
def test_fingerprints_are_equal_only_for_equal_ingredients(one: Ingredients, other: Ingredients) -> None:
    assert (one.fingerprint() == other.fingerprint()) == (one == other)


@given(INGREDIENTS, st.permutations(["query", "document", "title"]))
def test_the_order_of_prompts_is_no_ingredient(one: Ingredients, order: list[str]) -> None:
    prompts = {"query": "q: ", "document": "d: ", "title": ""}
    shuffled = {role: prompts[role] for role in order}
    assert replace(one, prompts=shuffled).fingerprint() == replace(one, prompts=prompts).fingerprint()


def test_fingerprint_is_stable_across_releases() -> None:
    # SHA-256 of "gnomon-space-1", a line end and the JSON written by hand. Another value would orphan every
    # stored vector.
    one = Ingredients("w", "a", "t", "mean", "", {"query": "q: ", "document": ""}, True, 256, 384, "cosine", "float")
    assert one.fingerprint() == "b5b786f8b6a1258510106baa92a790508c355cbfb8a403be0db579337e967a72"


@given(INGREDIENTS, TEXT, TEXT)
def test_a_name_is_no_ingredient(one: Ingredients, name: str, other: str) -> None:
    first, second = Space.of(one, name=name), Space.of(one, name=other)
    assert first == second
    assert hash(first) == hash(second)
    first.require(second)


@given(SPACES, st.data())
def test_prefix_of_a_prefix_is_the_prefix_and_names_the_root(space: Space, data: st.DataObject) -> None:
    middle = data.draw(st.integers(1, space.dim))
    dim = data.draw(st.integers(1, middle))
    direct, stepwise = space.truncate(dim), space.truncate(middle).truncate(dim)
    assert direct == stepwise
    assert (direct.dim, direct.parent) == (stepwise.dim, stepwise.parent)
    if dim == space.dim:
        assert direct is space
    else:
        assert direct != space
        assert direct.parent == space.fingerprint
        assert (direct.similarity, direct.precision) == (space.similarity, space.precision)


@given(SPACES, st.data())
def test_prefixes_of_different_lengths_or_roots_differ(space: Space, data: st.DataObject) -> None:
    other = replace(space, fingerprint=space.fingerprint[::-1] + "0")
    dims = data.draw(st.lists(st.integers(1, space.dim), min_size=1, max_size=4, unique=True))
    prefixes = [whole.truncate(dim).fingerprint for whole in (space, other) for dim in dims]
    assert len(set(prefixes)) == len(prefixes)


@given(SPACES, st.data())
def test_json_round_trip(space: Space, data: st.DataObject) -> None:
    for one in (space, space.truncate(data.draw(st.integers(1, space.dim)))):
        again = Space.from_json(json.loads(json.dumps(one.to_json())))
        assert again.to_json() == one.to_json()
        assert pickle.loads(pickle.dumps(one)).to_json() == one.to_json()


def space_of(fingerprint: str, name: str, dim: int = 384) -> Space:
    return Space(fingerprint, dim, "cosine", "float", name)


def test_require_says_what_met_what_and_what_to_do() -> None:
    mine, other = space_of("a" * 64, "all-MiniLM-L6-v2"), space_of("b" * 64, "gte-small")
    with pytest.raises(SpaceMismatch) as caught:
        mine.require(other)
    assert str(caught.value) == (
        "vectors of gte-small (384-d, bbbbbbbbbbbb) met vectors of all-MiniLM-L6-v2 (384-d, aaaaaaaaaaaa). "
        "They have the same dimensions, which says nothing.\n"
        "Expected: vectors of all-MiniLM-L6-v2 (384-d, aaaaaaaaaaaa)\n"
        "Hint: encode both sides with one encoder; to change a collection's model, build a new one"
    )


def test_require_mentions_dimensions_only_when_they_are_the_same() -> None:
    with pytest.raises(SpaceMismatch) as caught:
        space_of("a", "mine").require(space_of("b", "other", dim=768))
    assert caught.value.message == "vectors of other (768-d, b) met vectors of mine (384-d, a)."


@pytest.mark.parametrize("dim", [0, -1, 385])
def test_truncation_beyond_the_space_is_refused(dim: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        space_of("a", "mine").truncate(dim)
    assert str(caught.value) == f"truncation of mine (384-d, a) to {dim} dimensions\nExpected: 1 to 384 dimensions"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dim": 0}, "a space of 0 dimensions\nExpected: at least 1 dimension"),
        ({"similarity": "cos"}, "similarity 'cos'\nExpected: one of cosine, dot, euclidean, maxsim"),
        ({"precision": "bf16"}, "precision class 'bf16'\nExpected: one of float, int8"),
    ],
)
def test_impossible_spaces_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        replace(space_of("a", "mine"), **change)
    assert str(caught.value) == message


def test_spaces_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        space_of("a", "mine").dim = 3  # type: ignore[misc]


def test_int8_shows_in_what_people_read() -> None:
    space = space_of("0123456789abcdef", "m")
    assert space.short == "m (384-d, 0123456789ab)"
    assert replace(space, precision="int8").short == "m (384-d, int8, 0123456789ab)"
