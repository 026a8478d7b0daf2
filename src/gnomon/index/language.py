"""The language of a text, by its script and its function words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

LANGUAGES: Mapping[str, str] = MappingProxyType(
    {
        "none": "",
        "ar": "arabic",
        "da": "danish",
        "de": "german",
        "el": "greek",
        "en": "english",
        "es": "spanish",
        "fi": "finnish",
        "fr": "french",
        "hu": "hungarian",
        "it": "italian",
        "nl": "dutch",
        "no": "norwegian",
        "pt": "portuguese",
        "ro": "romanian",
        "ru": "russian",
        "sv": "swedish",
        "ta": "tamil",
        "tr": "turkish",
    }
)
"""Languages with a stemmer, and tantivy's names for it; "none" neither stems nor leaves words out."""

_FUNCTION_WORDS = {
    "da": "og det at en den til er som på de med han af for ikke der var men et har om fra eller ved efter også nu",
    "de": "der die und das ist nicht ein eine zu den mit sich des auf für im dem von auch als wird oder bei sind kann",
    "en": "the of and to in is that for it with as was on are be this by from or which an at not have has can if you",
    "es": "el la de que y en los se del las un por con una para es al lo como más su son no si pero este o está cuando",
    "fi": "ja on ei että se oli hän mutta kun joka tai myös niin ovat kuin voi sen jos ole vain sekä jonka mukaan",
    "fr": "le la les de des et est un une du en que qui dans pour par sur pas plus au avec ce il ou sont ne cette si",
    "hu": "az egy és hogy nem is ez meg csak van már de el ha volt vagy mint ki még azt lehet ezt amely fel kell",
    "it": "il di che la per un una non sono in con del della le si da come al dei più anche nel lo gli alla questo è",
    "nl": "de het een en van in is dat op te zijn met voor niet die aan er om ook als bij door naar wordt of dan",
    "no": "og det er en som på til av for at med den har ikke de et om fra var kan eller men etter ved jeg hva nå",
    "pt": "de que não um uma para com os em do da no na por mais as dos como mas ao ou se foi são ser pelo pela é está",
    "ro": "și în de la cu pe este sunt care din nu mai pentru sau fi ca acest prin după între dar un se poate fost",
    "ru": "и в не на что с по это как из для от или при то если также его может быть является который только",
    "sv": "och att det som en är på för av med den till inte om ett har de var från kan eller när men så under ska",
    "tr": "ve bir bu için ile de da olarak olan daha çok gibi kadar sonra ne en her değil var ya ancak veya eğer",
    # Neighbours that would be taken for one of these. They have no stemmer here.
    "pl": "na do się nie jest że to od po jak za przez dla są lub oraz który która które ma co by tym jeśli może",
    "cs": "se na je že do to jako za by pro ve po od nebo jsou není který která které ale tak není být pokud při",
    "ca": "el la de que els les per amb del un una és no al dels com més són aquesta pot si aquest en",
    "la": "et est non ad cum ut sed quod ex de qui quae per ab si sunt esse hoc atque enim autem",
    "hr": "je na da se za od su koji to kao ali ili ako što biti nije iz koja bez može sve nakon kako",
    "id": "dan yang di untuk dengan ini itu dari pada adalah tidak dalam akan oleh atau ke sebagai juga dapat",
    "uk": "та не на що як для від або при це якщо також його може бути який тільки до за цей",
    "vi": "và là của có không một các trong được cho với người này những đã để khi từ ra",
}
_UNSTEMMED = {"pl", "cs", "ca", "la", "hr", "id", "uk", "vi"}
_SCRIPTS = (("el", re.compile("[\u0370-\u03ff]+")), ("ta", re.compile("[\u0b80-\u0bff]+")))
_ARABIC, _ARTICLES = re.compile("[\u0620-\u06ff]+"), re.compile(r"\b(?:و|ب|ك|ف)?ال\w{2}")
_LATIN_OR_CYRILLIC = re.compile("[A-Za-z\u00c0-\u024f\u0400-\u04ff]+")
_LETTER = re.compile(r"[^\W\d_]+")
_WORD = re.compile(r"\w\w+")
_SAMPLE = 600
"""Characters of a text that are looked at, at most."""
_FEWEST, _SHARE, _LEAD = 3, 0.15, 1.3
"""Function words that a text must have of a language: how many, which share of its words, how many times the next's."""


def detect_language(text: str) -> str | None:
    """A setting of LANGUAGES; "none" for a language without a stemmer; None where the text does not show it.

    By the script where it is one language's, else by which language's function words it has most (Grefenstette
    1995, "Comparing two language identification schemes"). Short texts, headings, tables and code have too few.

    >>> detect_language("The cat is on the roof and the dog is in the garden.")
    'en'
    """
    sample = text[:_SAMPLE]
    if not sample.isascii():
        letters = sum(map(len, _LETTER.findall(sample)))
        for language, script in _SCRIPTS:
            if 2 * _covered(script, sample) > letters:
                return language
        if 2 * _covered(_ARABIC, sample) > letters:
            return "ar" if 5 * len(_ARTICLES.findall(sample)) > len(_LETTER.findall(sample)) else "none"
        if letters and 2 * _covered(_LATIN_OR_CYRILLIC, sample) < letters:
            return "none"
    return _by_function_words(sample)


def _covered(script: re.Pattern[str], text: str) -> int:
    return sum(map(len, script.findall(text)))


def _by_function_words(sample: str) -> str | None:
    known, words = _languages_of_words(), _WORD.findall(sample.lower())
    counts = Counter(language for word in words for language in known.get(word, ()))
    (language, most), (_, second) = [*counts.most_common(2), ("", 0), ("", 0)][:2]
    if most < _FEWEST or most < _SHARE * len(words) or most < _LEAD * second:
        return None
    return "none" if language in _UNSTEMMED else language


@lru_cache(maxsize=1)
def _languages_of_words() -> dict[str, list[str]]:
    """Each function word's languages."""
    found: dict[str, list[str]] = {}
    for language, words in _FUNCTION_WORDS.items():
        for word in set(words.split()):
            found.setdefault(word, []).append(language)
    return found
