"""Words in context: do token vectors tell a word's senses apart, where a word's own vector cannot?

    python -m bench context

WiC (Pilehvar and Camacho-Collados 2019, arXiv:1808.09121): one word in two sentences, the same sense or not.
The threshold is found on the train split, figures are of dev. Writes results/context.json and
docs/context.md.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.data import DATA
from bench.record import write
from gnomon import load_encoder
from gnomon.encode import locate
from gnomon.evaluate.tasks import TokenEncoder, run_task
from gnomon.evaluate.tasks.report import with_interval
from gnomon.evaluate.tasks.word_in_context import word_vector
from gnomon.kernels.statistics import roc_auc

MODEL = "all-MiniLM-L6-v2"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "context.md"
TRAIN, DEV = (DATA / "words" / f"wic.{split}.jsonl.gz" for split in ("train", "validation"))
EXAMPLES: dict[str, dict[str, list[str]]] = {
    "bank, in two words": {"shore": ["river bank", "muddy bank"], "money": ["bank account", "bank loan"]},
    "bank": {
        "shore": [
            "We walked along the river bank in the evening.",
            "The bank of the stream was muddy after the rain.",
        ],
        "money": ["She opened a bank account with fifty pounds.", "The bank refused to give him a loan."],
    },
    "bat": {
        "animal": ["A bat flew out of the cave at dusk.", "The bat sleeps hanging from the roof."],
        "stick": ["He swung the bat and missed the ball.", "Her new cricket bat is made of willow."],
    },
    "spring": {
        "season": ["The garden is full of tulips in spring.", "They were married in the spring of 1994."],
        "coil": ["The spring in the mattress is broken.", "A steel spring pushes the lever back."],
    },
}


@dataclass(frozen=True)
class Tokens:
    """Vectors of a text's tokens, and their characters."""

    vectors: Any
    offsets: Any


class TableRows:
    """A model's token table in place of its network: each token has one vector, whatever stands around it."""

    def __init__(self, encoder: Any, folder: Path) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        held = load_file(str(folder / "model.safetensors"))
        (name,) = (key for key in held if key.endswith("word_embeddings.weight"))
        self._table = held[name].astype(np.float32)
        self._tokenizer = Tokenizer.from_str(encoder.tokenizer_json)
        self.space = encoder.space

    def tokens(self, texts: Sequence[str], *, role: str = "document") -> list[Tokens]:
        """Each token's row."""
        found = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [Tokens(self._table[one.ids], np.array(one.offsets)) for one in found]


class WholeText:
    """A text's one vector in place of each token's: tells how alike the sentences are, not the words."""

    def __init__(self, encoder: Any) -> None:
        self._encoder, self.space = encoder, encoder.space

    def tokens(self, texts: Sequence[str], *, role: str = "document") -> list[Tokens]:
        """The text's vector for all of it."""
        rows = self._encoder.encode(list(texts), role=role).data
        spans = [np.array([[0, len(text)]]) for text in texts]
        return [Tokens(row[None], span) for row, span in zip(rows, spans, strict=True)]


def main() -> None:
    """Measure, record, write the page."""
    encoder = load_encoder(MODEL)
    ways: dict[str, Any] = {
        "token vectors in context": encoder,
        "token table, no context": TableRows(encoder, locate(MODEL).folder),
        "whole sentences, not the word": WholeText(encoder),
    }
    figures: dict[str, Any] = {"model": MODEL, "set": "WiC dev, threshold from train", "ways": {}}
    scores = {}
    for name, way in ways.items():
        report = run_task("context", way, DEV, fit=TRAIN)
        rows = {one.name: {"value": round(one.value, 4), "interval": interval(one)} for one in report.figures}
        figures["ways"][name] = {"pairs": report.covered, **rows}
        scores[name], same = cosines(way, DEV)
        equal = float((scores[name] > 1 - 1e-6).mean())
        figures["ways"][name]["pairs with cosine 1"] = round(equal, 4)
    first, *others = scores
    figures["differences"] = {}
    for other in others:
        found = with_interval("AUC", auc_difference, scores[first], scores[other], same)
        figures["differences"][other] = {"AUC": round(found.value, 4), "interval": interval(found)}
    figures["examples"] = {
        word: {name: example(ways[name], word, senses) for name in (first, others[0])}
        for word, senses in EXAMPLES.items()
    }
    write("context", figures)
    PAGE.write_text(page(figures), encoding="utf-8")


def auc_difference(left: Any, right: Any, same: Any) -> float:
    """By how much the first tells better."""
    return roc_auc(left[~same], left[same]) - roc_auc(right[~same], right[same])


def interval(figure: Any) -> list[float] | None:
    """Its ends, rounded."""
    return None if figure.low is None else [round(figure.low, 4), round(figure.high, 4)]


def cosines(way: TokenEncoder, path: Path) -> tuple[Any, Any]:
    """The two cosines' value of each pair, and whether the sense is the same. Every word must be found."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    found = []
    for side, number in (("a", "1"), ("b", "2")):
        states = way.tokens([row[side] for row in rows])
        spans = [(int(row[f"start{number}"]), int(row[f"end{number}"])) for row in rows]
        found.append([word_vector(own, *span) for own, span in zip(states, spans, strict=True)])
    near = [float(np.dot(a, b)) for a, b in zip(*found, strict=True)]
    return np.array(near), np.array([row["label"] in ("1", 1) for row in rows])


def example(way: TokenEncoder, word: str, senses: dict[str, list[str]]) -> dict[str, Any]:
    """The cosine of the word's vectors in each two sentences."""
    texts = [text for own in senses.values() for text in own]
    kinds = [sense for sense, own in senses.items() for _ in own]
    word = word.partition(",")[0]
    starts = [text.lower().index(word) for text in texts]
    states = way.tokens(texts)
    rows = np.array([word_vector(own, at, at + len(word)) for own, at in zip(states, starts, strict=True)])
    table = rows @ rows.T
    pairs = [(i, j) for i in range(len(texts)) for j in range(i)]
    same = [table[i, j] for i, j in pairs if kinds[i] == kinds[j]]
    other = [table[i, j] for i, j in pairs if kinds[i] != kinds[j]]
    return {
        "cosines": np.round(table, 3).tolist(),
        "same sense": [round(float(min(same)), 3), round(float(max(same)), 3)],
        "another sense": [round(float(min(other)), 3), round(float(max(other)), 3)],
    }


HEAD = """\
# Words in context

Written by `bench/quality/context.py` from `bench/results/context.json`; do not edit.

A static vector gives a word one place, whatever it means. A transformer's token vectors depend on the
sentence: "bank" in "river bank" is not "bank" in "bank account". `encoder.tokens(texts)` gives them, each
with its characters in the text; `gnomon eval --task context` measures a model on pairs of your own.

## One word in two sentences, the same sense or not

WiC dev, {pairs} pairs, half of them of one sense. The cosine of the word's vectors is to say whether the
sense is the same; the threshold for the accuracy is the best on WiC's train split. Intervals are 95 %, by
bootstrap over pairs.

| vectors of {model} | accuracy | ROC AUC | pairs whose cosine is 1 |
|---|---|---|---|
"""

MIDDLE = """
*Token table* is the same model's input table: the word's row before any layer, the same in every sentence.
Where both sentences have the word in one form, its cosine is 1 and says nothing; what it tells at all comes
from words in two forms. *Whole sentences* compares the texts and not the word.

In context, the AUC is higher by {table:+.3f} [{table_low:+.3f}, {table_high:+.3f}] than the table's. To
that of whole sentences the difference is {whole:+.3f} [{whole_low:+.3f}, {whole_high:+.3f}].
{topic}"""

TOPIC = """
Nothing here shows that this model's token vectors say more of a word's sense than what its sentence is about:
it was trained for vectors of sentences, which are the mean of the token vectors.
"""

WORDS = """
## "River bank" and "bank account"

Cosines of one word's vectors in four texts, two of each sense. The table's are 1 throughout. The levels
differ from word to word, which is why one threshold for all words does no better than above.
"""


def page(figures: dict[str, Any]) -> str:
    """docs/context.md."""
    ways = figures["ways"]
    out = [HEAD.format(pairs=next(iter(ways.values()))["pairs"], model=figures["model"])]
    for name, own in ways.items():
        cells = (name, shown(own["accuracy"]), shown(own["ROC AUC"]), f"{own['pairs with cosine 1']:.0%}")
        out.append(f"| {' | '.join(cells)} |\n")
    (table, whole) = figures["differences"].values()
    out.append(
        MIDDLE.format(
            table=table["AUC"], table_low=table["interval"][0], table_high=table["interval"][1],
            whole=whole["AUC"], whole_low=whole["interval"][0], whole_high=whole["interval"][1],
            topic=TOPIC if whole["AUC"] <= 0 else "",
        )
    )  # fmt: skip
    out.append(WORDS)
    for word, senses in EXAMPLES.items():
        own = next(iter(figures["examples"][word].values()))
        out.append(words_table(word, senses, own))
    return "".join(out)


def words_table(word: str, senses: dict[str, list[str]], own: dict[str, Any]) -> str:
    """The cosines of one word."""
    texts = [(sense, text) for sense, found in senses.items() for text in found]
    lines = [f"\n### {word}\n\n| | sense | text | 1 | 2 | 3 | 4 |\n|---|---|---|---|---|---|---|\n"]
    for number, ((sense, text), row) in enumerate(zip(texts, own["cosines"], strict=True), 1):
        cells = " | ".join(f"{value:.2f}" for value in row)
        lines.append(f"| {number} | {sense} | {text} | {cells} |\n")
    (low, high), (least, most) = own["same sense"], own["another sense"]
    lines.append(f"\nSame sense {low:.2f} to {high:.2f}, another sense {least:.2f} to {most:.2f}.\n")
    return "".join(lines)


def shown(figure: dict[str, Any]) -> str:
    """A figure with its interval."""
    low, high = figure["interval"]
    return f"{figure['value']:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main()
