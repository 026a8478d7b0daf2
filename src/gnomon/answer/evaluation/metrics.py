"""Metrics of one question's answer, each between 0 and 1."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gnomon.answer.evaluation.questions import Question
from gnomon.answer.types import Answer, Citation, Passage, Sentence
from gnomon.collection import Collection
from gnomon.core.errors import InvalidInput
from gnomon.text.sentences import sentences

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def normalised(text: str) -> str:
    """Lower case, without punctuation and English articles, white space single (Rajpurkar et al. 2016).

    Punctuation is ASCII's and Unicode's (Lewis et al. 2020, MLQA): quotes of any form go.

    >>> normalised("The  “U.S.” — a country!")
    'us country'
    """
    kept = "".join(c for c in text.lower() if c not in string.punctuation and not _is_mark(c))
    return " ".join(_ARTICLES.sub(" ", kept).split())


def exact_match(answer: str, gold: str | Sequence[str]) -> float:
    """1.0 where the answer is one of the gold answers once both are normalised, else 0.0.

    Raises InvalidInput for no gold answer.

    >>> exact_match("The Nile.", ["Nile", "the river Nile"])
    1.0
    """
    own = normalised(answer)
    return float(any(own == normalised(one) for one in _several(gold)))


def token_f1(answer: str, gold: str | Sequence[str]) -> float:
    """The harmonic mean of precision and recall of the answer's tokens, against the best gold answer.

    Tokens are the words of both once they are normalised, each counted as often as it stands there. Where
    one side has none, it is 1 if neither has (Rajpurkar et al. 2018). Raises InvalidInput for no gold answer.

    >>> token_f1("in the river Nile", ["Nile", "the river Nile"])
    0.8
    """
    own = normalised(answer).split()
    return max(_f1(own, normalised(one).split()) for one in _several(gold))


def _f1(own: list[str], gold: list[str]) -> float:
    if not own or not gold:
        return float(own == gold)
    shared = sum((Counter(own) & Counter(gold)).values())
    return 2 * shared / (len(own) + len(gold))


def _is_mark(character: str) -> bool:
    return not character.isascii() and unicodedata.category(character).startswith("P")


def _several(gold: str | Sequence[str]) -> Sequence[str]:
    several = [gold] if isinstance(gold, str) else gold
    if not several:
        raise InvalidInput("no gold answer", expected="at least one right answer to compare with")
    return several


TOP_DOCUMENTS = 10
"""The top documents that are searched for the evidence."""
F1 = "token F1"
ANSWERED, ABSTAINED = "answered with evidence", "abstention recall"
OFFERED, REFUSED = "offered with evidence", "refused without evidence"
PRECISION = "abstention precision"
JUDGED = "right, as a model judges"
MEASURES: Mapping[str, str] = {
    f"evidence@{TOP_DOCUMENTS}": f"a document that holds the answer is among the first {TOP_DOCUMENTS} found",
    "evidence shown": "such a document is among the passages that the answer may cite",
    "exact match": "the answer is a right one, but for case, punctuation and articles; none counts 0",
    F1: "the words that the answer shares with the nearest right one; none counts 0",
    "F1 of first sentence": "the same for the first sentence of the best passage: what to be better than",
    "citation precision": "the share of an answer's citations whose passage supports their sentence, "
    "by strings and embeddings",
    "citation recall": "the share of an answer's sentences that their passages support, likewise",
    "citations of evidence": "the share of an answer's citations whose document holds the answer",
    ANSWERED: "an answer is given plainly while a document that holds it is there",
    OFFERED: "an answer is given, plainly or as possible, while such a document is there",
    ABSTAINED: "none is given plainly once these documents are left out of the search",
    REFUSED: "none is given even as possible once they are left out",
    PRECISION: "of all questions that were not plainly answered, the share that could not be",
    JUDGED: "the share that a language model calls right: no person has looked",
}
"""Every metric by its name, in the order of a report, with its meaning."""
_GIVEN = ("answered", "possible")
_MARKS = re.compile(r"\s*\[\d+(?:\s*,\s*\d+)*\]")


@dataclass(frozen=True)
class EvaluatedQuestion:
    """A question's answer, the top documents of its search, and its answer without its evidence.

    `without` is None where the evidence is not known or not in the collection.
    """

    question: Question
    answer: Answer
    top_documents: tuple[str, ...] = ()
    without: Answer | None = None


def answer_text(answer: Answer) -> str:
    """The text of an answer that is given or possible, without citation markers; empty where it is none."""
    return _MARKS.sub("", answer.text).strip() if answer.outcome in _GIVEN else ""


def question_metrics(evaluated: EvaluatedQuestion, support: SupportJudge) -> dict[str, float]:
    """The metrics of this question, by name, without those that do not apply."""
    answer, gold = evaluated.answer, evaluated.question.answers
    found: dict[str, float] = {}
    if evidence := set(evaluated.question.documents):
        shown = {passage.document for passage in answer.passages}
        found[f"evidence@{TOP_DOCUMENTS}"] = float(bool(evidence & set(evaluated.top_documents[:TOP_DOCUMENTS])))
        found["evidence shown"] = float(bool(evidence & shown))
    text = answer_text(answer)
    found["exact match"], found[F1] = exact_match(text, gold), token_f1(text, gold)
    found["F1 of first sentence"] = token_f1(first_sentence(answer), gold)
    if answer.outcome in _GIVEN:
        found |= citation_metrics(answer, evidence, support)
    if evaluated.without is not None and "failed" not in (answer.outcome, evaluated.without.outcome):
        found[ANSWERED] = float(answer.outcome == "answered")
        found[OFFERED] = float(answer.outcome in _GIVEN)
        found[ABSTAINED] = float(evaluated.without.outcome != "answered")
        found[REFUSED] = float(evaluated.without.outcome not in _GIVEN)
    return found


def citation_metrics(answer: Answer, evidence: set[str], support: SupportJudge) -> dict[str, float]:
    """Citation precision and recall as in ALCE (Gao et al. 2023), averaged within the answer.

    ALCE uses an entailment model; here `SupportJudge` decides. A citation is precise if its passage alone
    supports its sentence; a sentence is recalled if the passages that it cites together do.
    """
    passages = {passage.number: passage for passage in answer.passages}
    cited = [(one, citation) for one in answer.sentences for citation in one.citations]
    found = {}
    if cited:
        right = [support.citation(one, citation, passages.get(citation.passage)) for one, citation in cited]
        found["citation precision"] = sum(right) / len(right)
        if evidence:
            from_evidence = [citation.document in evidence for _, citation in cited]
            found["citations of evidence"] = sum(from_evidence) / len(from_evidence)
    if answer.sentences:
        backed = [support.sentence(one, passages) for one in answer.sentences]
        found["citation recall"] = sum(backed) / len(backed)
    return found


def first_sentence(answer: Answer) -> str:
    """The first sentence of the best passage, or nothing."""
    found = sentences(answer.passages[0].text) if answer.passages else []
    return found[0] if found else ""


@dataclass(frozen=True)
class SupportJudge:
    """Judges whether a passage supports a sentence: by strings if it is quoted, else as answers are verified.

    `min_support` is what counts as support; None is the measured default, whatever an answer was made with.
    """

    kb: Collection
    min_support: float | None = None

    def citation(self, sentence: Sentence, citation: Citation, passage: Passage | None) -> bool:
        """Whether the cited passage is there, its quote is what stands at its offsets, and it says so."""
        if passage is None or passage.document != citation.document or not self._quoted(citation, passage):
            return False
        return self._says(sentence.text, (passage,))

    def sentence(self, sentence: Sentence, passages: Mapping[int, Passage]) -> bool:
        """Whether the passages that a sentence cites support it together. None cited is none that does."""
        wanted = dict.fromkeys(one.passage for one in sentence.citations)
        cited = tuple(passages[number] for number in wanted if number in passages)
        return bool(cited) and self._says(sentence.text, cited)

    def _quoted(self, citation: Citation, passage: Passage) -> bool:
        whole = passage.text if passage.row else self.kb.text(citation.document)
        return whole is not None and whole[citation.start : citation.end] == citation.quote

    def _says(self, text: str, passages: Sequence[Passage]) -> bool:
        own = normalised(_MARKS.sub("", text))
        if not own:
            return False
        if any(f" {own} " in f" {normalised(passage.text)} " for passage in passages):
            return True
        from gnomon.answer.verification.verifier import Verifier

        language = self.kb.internals.language
        judge = Verifier(passages, self.kb.encoder, min_support=self.min_support, language=language)
        return bool(judge.check(text, 0).supported)
