"""Word vectors trained on text8: Google analogies, WordSim-353, SimLex-999, and words never seen.

    python -m bench words [--folder WORK] [--only word2vec,cbow,fasttext,glove,glove-text8] [--train]

Each method runs with its published settings, one worker, min_count 5 and 200 dimensions; GloVe also with the
x_max of 10 that its own demo takes for text8, where the paper's 100 is meant for larger corpora, and, without
another training, less the directions that all its vectors share (dim / 100 of them). Trained
vectors are kept in the work folder; --train stops there, so that runs can be trained apart. Measured is the
static model that gnomon serves, over its whole vocabulary. Writes results/words.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from bench.data import DATA
from bench.record import commit, versions, write
from gnomon.core.contracts import Encoder
from gnomon.core.progress import Progress
from gnomon.encode import load_encoder
from gnomon.evaluate.tasks import TaskReport, run_task
from gnomon.word_vectors import (
    GloveSettings,
    WordSettings,
    WordVectors,
    load_words,
    read_corpus,
    save_words,
    settings_for,
    train_words,
)
from gnomon.word_vectors.settings import Method
from gnomon.word_vectors.training import with_common_removed

RUNS: Mapping[str, WordSettings] = {
    **{method: settings_for(method) for method in get_args(Method)},
    "glove-text8": settings_for("glove", glove=GloveSettings(x_max=10)),
    "glove-less-2": settings_for("glove", remove_common=2),
}
TEXT, WORDS = DATA / "text" / "text8.gz", DATA / "words"
UNSEEN = ("kingless", "computerization", "unhappyness", "germanophobic")
SHOWN = ("king", "france", "computer")
ANALOGIES = (("man", "king", "woman"), ("france", "paris", "germany"), ("big", "bigger", "small"))


def main() -> None:
    """Train what is not there yet, measure and write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "gnomon" / "bench" / "words")
    arguments.add_argument("--only", default=",".join(RUNS))
    arguments.add_argument("--train", action="store_true")
    given = arguments.parse_args()
    names = given.only.split(",")
    for name in names:
        if not (given.folder / name / "trained.json").is_file():
            if name == "glove-less-2" and (given.folder / "glove" / "trained.json").is_file():
                derive(given.folder / "glove", given.folder / name)
            else:
                train(name, given.folder / name)
    if not given.train:
        figures = {name: figures_of(given.folder / name) for name in names}
        write("words", {"corpus": "text8", "gensim": versions(("gensim",))["gensim"], "runs": figures})


def train(name: str, folder: Path) -> None:
    """Train one run and keep its words folder, with the time it took and the commit."""
    settings = RUNS[name]
    corpus = read_corpus([TEXT], min_count=settings.min_count)
    started, cpu = time.perf_counter(), time.process_time()
    vectors = train_words(corpus, settings, progress=Shown(name))
    took = {"wall_s": round(time.perf_counter() - started), "cpu_s": round(time.process_time() - cpu)}
    save_words(vectors, folder / "words", settings=settings.to_json())
    trained = {"commit": commit(), **took, "words": len(vectors), "tokens": len(corpus.tokens)}
    (folder / "trained.json").write_text(json.dumps(trained | {"settings": settings.to_json()}))


def derive(source: Path, target: Path) -> None:
    """GloVe's vectors as they would have come out with `remove_common`."""
    settings = RUNS["glove-less-2"]
    vectors = with_common_removed(load_words(source / "words"), settings.remove_common)
    save_words(vectors, target / "words", settings=settings.to_json())
    trained = json.loads((source / "trained.json").read_text())
    (target / "trained.json").write_text(json.dumps(trained | {"settings": settings.to_json()}))


class Shown:
    """Says now and then how far training is."""

    def __init__(self, name: str) -> None:
        self.name, self.said = name, time.monotonic()

    def __call__(self, event: Progress) -> None:
        """Print a line when the last one is 20 seconds old."""
        if time.monotonic() - self.said > 20:
            self.said = time.monotonic()
            loss = f", loss {event.metrics['loss']:.5f}" if "loss" in event.metrics else ""
            share = event.done / (event.total or 1)
            print(f"{self.name}: epoch {event.metrics['epoch']:.0f}, {share:.0%}{loss}", flush=True)


def figures_of(folder: Path) -> dict[str, Any]:
    """What one run's vectors are worth."""
    encoder, vectors = load_encoder(folder / "words"), load_words(folder / "words")
    figures = {
        "analogies": analogies(encoder, vectors),
        "wordsim353": brief(run_task("similarity", encoder, WORDS / "wordsim353.tsv")),
        "simlex999": brief(run_task("similarity", encoder, WORDS / "simlex999.txt")),
        "nearest": {word: top(vectors.nearest(word, k=5)) for word in SHOWN},
        "analogy": {f"{b} - {a} + {c}": top(vectors.analogy(a, b, c, k=3)) for a, b, c in ANALOGIES},
    }
    if vectors.subwords is not None:
        unseen = [word for word in UNSEEN if word not in vectors]
        figures["unseen"] = {word: top(vectors.nearest(word, k=5)) for word in unseen}
    return {**json.loads((folder / "trained.json").read_text()), **figures}


def analogies(encoder: Encoder, vectors: WordVectors) -> dict[str, Any]:
    """Google's questions in lower case, as text8 is; answers are looked for in the whole vocabulary."""
    with tempfile.TemporaryDirectory() as folder:
        questions, vocabulary = Path(folder) / "questions.txt", Path(folder) / "vocabulary.txt"
        questions.write_text((WORDS / "questions-words.txt").read_text().lower())
        vocabulary.write_text("\n".join(vectors.words))
        return brief(run_task("analogy", encoder, questions, vocabulary=vocabulary))


def brief(report: TaskReport) -> dict[str, Any]:
    """A report's figures by name, intervals where there are any."""
    figures = {
        figure.name: round(figure.value, 4)
        if figure.low is None or figure.high is None
        else [round(figure.value, 4), round(figure.low, 4), round(figure.high, 4)]
        for figure in report.figures
    }
    return {"n": report.n, "covered": report.covered, **figures}


def top(found: list[tuple[str, float]]) -> list[str]:
    """Neighbours as text."""
    return [f"{word} {cosine:.3f}" for word, cosine in found]


if __name__ == "__main__":
    main()
