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

from bench import pages
from bench.data import DATA
from bench.record import write
from gnomon import load_encoder
from gnomon.encode import locate
from gnomon.evaluate.tasks import TokenEncoder, run_task
from gnomon.evaluate.tasks.report import with_interval
from gnomon.evaluate.tasks.word_in_context import word_vector
from gnomon.kernels.statistics import roc_auc

MODEL = "all-MiniLM-L6-v2"
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
    pages.write("context")


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


def context(_: Any) -> dict[str, Any]:
    """What docs/context.md is made of besides the figures."""
    return {"examples": EXAMPLES}


if __name__ == "__main__":
    main()
