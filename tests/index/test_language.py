"""Languages of texts: detected, and searched each in its own."""

from __future__ import annotations

import numpy as np
import pytest

from gnomon.index.language import detect_language
from gnomon.index.lexical import LexicalIndex, LexicalSettings

SENTENCES = {
    "da": "Hunden løber efter katten, og den er heller ikke af dem, hvad der kun er i haven nu.",
    "de": "Die Häuser in der Straße sind nicht alt, und das Rathaus ist auch nicht weit von hier.",
    "en": "The houses in the street are not old, and the town hall is not far from here either.",
    "es": "Las casas de la calle no son viejas y el ayuntamiento está en la plaza que se ve desde aquí.",
    "fr": "Les maisons de la rue ne sont pas vieilles et la mairie est dans le centre de la ville.",
    "it": "Le case della strada non sono vecchie e il municipio è nel centro della città per chi arriva.",
    "nl": "De huizen in de straat zijn niet oud en het stadhuis is ook niet ver van hier.",
    "pt": "As casas da rua não são velhas e a prefeitura está no centro da cidade para quem chega.",
    "ru": "Дома на этой улице не старые, и ратуша также находится в центре города, как и театр.",
    "sv": "Husen på gatan är inte gamla och rådhuset är inte heller långt från den plats som vi ser.",
    "el": "Τα σπίτια του δρόμου δεν είναι παλιά",
    "ar": "البيوت في الشارع ليست قديمة والمدرسة قريبة من السوق",
    "none": "昨天白猫在屋顶上睡觉。",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_a_sentence_shows_its_language(language: str) -> None:
    assert detect_language(SENTENCES[language]) == language


@pytest.mark.parametrize("text", ["", "Install guide", "x = foo(a, b)\nreturn x", "404 500 503", "Pride and Prejudice"])
def test_a_text_too_short_shows_none(text: str) -> None:
    assert detect_language(text) is None


def test_languages_without_a_stemmer_are_not_taken_for_others() -> None:
    assert detect_language("Nie jest to dom, który się podoba, ale jest na nim dach i do tego ma okna.") == "none"
    assert detect_language("من کتاب ها را می خوانم و او هم می خواند") == "none"


@pytest.fixture
def mixed(tmp_path) -> LexicalIndex:
    index = LexicalIndex.create(tmp_path, LexicalSettings(language="auto"))
    texts = [SENTENCES["de"], SENTENCES["en"], "Haus und Hof", "Herr Müller, Königstraße"]
    index.add(np.arange(4), [""] * 4, texts)
    index.commit(1)
    return index


def test_each_text_is_found_by_words_of_its_own_language(mixed: LexicalIndex) -> None:
    assert set(mixed.languages) == {"de", "en"}
    assert mixed.search(["house"], k=1)[0].ids.tolist() == [1]
    assert mixed.search(["Haus der Straßen"], k=1)[0].ids.tolist() == [0]
    assert mixed.search(["Mueller Koenigstrasse"], k=1)[0].ids.tolist() == [3]
    assert "the" not in mixed.terms("the house")
    assert "und" not in mixed.terms("Haus und Hof")


def test_the_languages_are_there_after_a_commit_by_another(mixed: LexicalIndex) -> None:
    again = LexicalIndex.open(mixed.folder, LexicalSettings(language="auto"))
    assert again.languages == mixed.languages
    again.add(np.array([9]), [""], [SENTENCES["fr"]])
    again.commit(2)
    mixed.reload()
    assert mixed.languages["fr"] == 1
    assert mixed.search(["maison"], k=1)[0].ids.tolist() == [9]


def test_a_rare_language_adds_little_to_a_query(tmp_path) -> None:
    index = LexicalIndex.create(tmp_path, LexicalSettings(language="auto"))
    index.add(np.arange(100), [""] * 100, [SENTENCES["en"]] * 99 + [SENTENCES["da"]])
    index.commit(1)
    assert index.terms("hunden houses") == {"hunden": 1.0, "hous": 1.0, "hund": 0.1}
    assert index.search(["hunden løber"], k=1)[0].ids.tolist() == [99]
