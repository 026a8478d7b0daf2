"""What pseudo-queries can and cannot do: detection rates for damage, agreement with true judgments.

    python -m bench pseudo [--folder COLLECTIONS] [--per-kind 400]

Collections are kept in the folder, so that a second run encodes queries only. Writes results/pseudo.json and
docs/pseudo.md.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import pages
from bench.data import Beir, mean_ndcg
from bench.quality.pseudo_sets import SETS, Corpus, Once, Run, corpus, mixed, part_of, permuted, with_cls_pooling
from bench.record import write
from gnomon.encode import load_encoder, locate
from gnomon.evaluate.judgments import DataSet
from gnomon.evaluate.pseudo import KINDS, SourceRecall, detect_breakage, pseudo_queries
from gnomon.retrieve import FuseSettings

MODEL = "all-MiniLM-L6-v2"
DAMAGED = ("scifact", "cranfield")
LOOKS = 500
A_LOOK = 100  # queries of each kind that one look asks
PROMPTS = {
    "a wrong prompt: 'query: '": "query: ",
    "a wrong prompt: a sentence": "Represent this sentence for searching relevant passages: ",
}
Hits = dict[str, list[bool]]


def main() -> None:
    """Measure, write results/pseudo.json and the page."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path)
    arguments.add_argument("--per-kind", type=int, default=400)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        figures: dict[str, Any] = {"model": MODEL, "agreement": {}, "healthy": {}}
        figures |= {"damage": {}, "growth": {}}
        for name in SETS:
            data = part_of(name)
            kb = corpus(data, folder / name)
            asked = pseudo_queries(kb.chunks, per_kind=given.per_kind)
            figures["agreement"][name] = agreement(data, kb, asked, untitled=folder / f"{name}-untitled")
            figures["healthy"][name] = healthy(kb, asked)
            figures["growth"][name] = growth(kb, asked)
            if name in DAMAGED:
                figures["damage"][name] = detection(data, kb, asked, folder=folder)
            kb.kb.close()
            print(name, "done", flush=True)
    figures["looks"], figures["queries_a_kind"] = LOOKS, A_LOOK
    write("pseudo", figures)
    pages.write("pseudo")


def agreement(data: Beir, kb: Corpus, asked: DataSet, *, untitled: Path) -> dict[str, Any]:
    """nDCG@10 of each setting by true judgments and by pseudo-queries, and how the two go together."""
    truth: dict[str, float] = {}
    by_kind: dict[str, dict[str, float]] = {}
    settings: dict[str, tuple[Any, Any]] = {
        "dense": ("dense", None),
        "lexical": ("lexical", None),
        "hybrid": ("hybrid", None),
        "hybrid, 0.3 dense": ("hybrid", FuseSettings(weights=(0.3, 0.7))),
        "hybrid, 0.7 dense": ("hybrid", FuseSettings(weights=(0.7, 0.3))),
        "hybrid, rrf": ("hybrid", FuseSettings(fusion="rrf")),
    }
    places = {name: (kb, *setting) for name, setting in settings.items()}
    if any(row.get("title") for row in data.documents):
        plain = corpus(data, untitled, titles=False)
        places["dense, without titles"] = (plain, "dense", None)
        places["hybrid, without titles"] = (plain, "hybrid", None)
    for name, (place, mode, fuse) in places.items():
        retriever = place.retriever(mode, fuse)
        truth[name] = round(mean_ndcg(data.relevant, place.run(retriever, data.queries)), 4)
        run = place.run(retriever, asked.queries)
        by_kind[name] = {kind: ndcg_of(asked, run, kind) for kind in (*kinds_of(asked), "all kinds")}
    kinds = (*kinds_of(asked), "all kinds")
    return {
        "documents": len(data.documents),
        "queries": len(data.queries),
        "truth": truth,
        "pseudo": by_kind,
        "correlation": {
            kind: correlation(list(truth.values()), [row[kind] for row in by_kind.values()]) for kind in kinds
        },
        "chosen": {kind: chosen(truth, {name: row[kind] for name, row in by_kind.items()}) for kind in kinds},
    }


def kinds_of(asked: DataSet) -> list[str]:
    return [kind for kind in KINDS if kind in asked.kinds.values()]


def ndcg_of(asked: DataSet, run: Run, kind: str) -> float:
    own = {query: grades for query, grades in asked.relevant.items() if kind in ("all kinds", asked.kinds[query])}
    return round(mean_ndcg({q: dict(g) for q, g in own.items()}, {query: run[query] for query in own}), 4)


def correlation(truth: list[float], pseudo: list[float]) -> dict[str, float]:
    """Pearson's r and Kendall's tau-b over the settings."""
    from scipy.stats import kendalltau, pearsonr

    return {
        "pearson": round(float(pearsonr(truth, pseudo).statistic), 2),
        "kendall": round(float(kendalltau(truth, pseudo).statistic), 2),
    }


def chosen(truth: Mapping[str, float], pseudo: Mapping[str, float]) -> dict[str, Any]:
    """The setting that pseudo-queries would choose, and what that costs by true judgments."""
    best = max(pseudo, key=lambda name: pseudo[name])
    return {"setting": best, "loss": round(max(truth.values()) - truth[best], 4)}


def hits_of(asked: DataSet, run: Run) -> Hits:
    """Whether each query's source is among the first ten, by kind."""
    found: Hits = {}
    for query, kind in asked.kinds.items():
        found.setdefault(kind, []).append(not set(run[query]).isdisjoint(asked.relevant[query]))
    return found


def shares(hits: Hits) -> dict[str, float]:
    return {kind: round(sum(of) / len(of), 3) for kind, of in hits.items()}


def healthy(kb: Corpus, asked: DataSet) -> dict[str, dict[str, float]]:
    """Recall of the source in the first ten where nothing is broken."""
    modes = ("dense", "lexical", "hybrid")
    return {mode: shares(hits_of(asked, kb.run(kb.retriever(mode), asked.queries))) for mode in modes}


def detection(data: Beir, kb: Corpus, asked: DataSet, *, folder: Path) -> dict[str, Any]:
    """How often `breakage` raises an alarm, for sound and for damaged collections."""
    wrong = str(with_cls_pooling(locate(MODEL).folder, folder / "cls-model"))
    pooled = corpus(data, folder / f"cls-{len(data.documents)}", model=wrong)
    rows = kb.vectors.data
    indexes = {
        "10 % of the vectors under other ids": kb.index_of(permuted(rows, 0.1)),
        "50 % of the vectors under other ids": kb.index_of(permuted(rows, 0.5)),
        "10 % of the vectors from another space": kb.index_of(mixed(rows, 0.1)),
        "30 % of the vectors from another space": kb.index_of(mixed(rows, 0.3)),
    }
    encoders = {name: Once(kb.kb.encoder, before=prompt) for name, prompt in PROMPTS.items()}
    encoders["queries pooled by CLS"] = Once(load_encoder(wrong), posing_as=kb.kb.encoder)
    found: dict[str, Any] = {}
    for mode in ("dense", "hybrid"):
        sound = hits_of(asked, kb.run(kb.retriever(mode), asked.queries))
        runs = {"nothing (false alarms)": kb.run(kb.retriever(mode), asked.queries)}
        for name, index in indexes.items():
            runs[name] = kb.run(kb.retriever(mode, dense=index), asked.queries)
        for name, encoder in encoders.items():
            runs[name] = kb.run(kb.retriever(mode, encoder=encoder), asked.queries)
        runs["everything pooled by CLS"] = pooled.run(pooled.retriever(mode), asked.queries)
        found[mode] = {
            name: {
                "found": shares(hits_of(asked, run)),
                "alarms": alarm_rate(sound, hits_of(asked, run)),
                "alarms_same_queries": alarm_rate(sound, hits_of(asked, run), same=True),
            }
            for name, run in runs.items()
        }
    pooled.kb.close()
    return found


def alarm_rate(sound: Hits, now: Hits, *, same: bool = False) -> float:
    """The share of looks with an alarm. A look asks some queries of each kind, drawn at random; the sound
    collection was asked others, or the same ones, as happens while the corpus stays as it is.
    """
    drawn = random.Random(0)
    alarms = 0
    for _ in range(LOOKS):
        before, after = {}, {}
        for kind in sound:
            size = min(A_LOOK, len(sound[kind]) // 2)
            at = drawn.sample(range(len(sound[kind])), 2 * size)
            before[kind] = look(kind, sound[kind], at[:size])
            after[kind] = look(kind, now[kind], at[:size] if same else at[size:])
        alarms += bool(detect_breakage(after, before))
    return round(alarms / LOOKS, 3)


def look(kind: str, hits: list[bool], at: list[int]) -> SourceRecall:
    """What was found of the queries at these places."""
    names = {i: f"{kind} {i}" for i in at}
    missed = tuple(name for i, name in names.items() if not hits[i])
    return SourceRecall(len(at) - len(missed), len(at), tuple(names.values()), missed)


def growth(kb: Corpus, asked: DataSet) -> dict[str, float]:
    """Alarms where nothing broke: a tenth of the documents, no query's source, came after the sound look."""
    sources = {document for grades in asked.relevant.values() for document in grades}
    others = sorted(set(kb.owners.values()) - sources)
    new = set(random.Random(0).sample(others, min(len(others), len(set(kb.owners.values())) // 10)))
    kept = [at for at, chunk in enumerate(kb.ids.tolist()) if kb.owners[chunk] not in new]
    sound = hits_of(asked, kb.run(kb.retriever("dense", dense=kb.index_of(kb.vectors.data, kept)), asked.queries))
    now = hits_of(asked, kb.run(kb.retriever("dense"), asked.queries))
    return {
        "documents_added": len(new),
        "alarms": alarm_rate(sound, now),
        "alarms_same_queries": alarm_rate(sound, now, same=True),
    }


if __name__ == "__main__":
    main()
