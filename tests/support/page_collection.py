"""A collection with all that the page shows: fields, two versions with a gate's report, monitoring runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

import gnomon
from gnomon.migrate import GateSettings, MigrateSettings, migrate
from gnomon.monitor import MonitorSettings, monitor
from support.judged_topics import TOPICS
from support.static_models import write_word_model

HOSTILE = "<img src=x onerror=\"document.title='broken in'\"> <script>document.title='broken in'</script>"
FILLER = "Nothing much is said in this part of the text, and it goes on for a while. "
# Characters that JavaScript counts as two stand before every passage but the first.
SYMBOLS = "🧭🌍🪐"


def text_of(topic: str) -> str:
    """A document of several passages, of which the last one is about its topic."""
    return (
        f"Introduction {SYMBOLS} {HOSTILE}\n\n{FILLER * 3}\n\n"
        f"The {topic} is kept in the {topic} room. Whoever needs the {topic} asks the keeper for it.\n"
    )


def documents() -> list[dict[str, object]]:
    """Two of each topic: a guide, and a note."""
    return [
        {
            "id": f"{kind}s/{topic}.md",
            "title": f"The {topic} {kind}",
            "text": text_of(topic),
            "metadata": {"kind": kind, "year": 2000 + at, "draft": kind == "note", "place": f"room {at} of {kind}s"},
        }
        for at, topic in enumerate(TOPICS)
        for kind in ("guide", "note")
    ]


def make_page_collection(folder: Path) -> Path:
    """A collection in folder/kb: v1 is live, v2 is ready and was judged, and there are three monitoring runs."""
    words = sorted({word.lower() for each in documents() for word in re.findall(r"\w+|[^\w\s]", str(each["text"]))})
    for seed in (1, 2):
        vectors = np.random.default_rng(seed).standard_normal((len(words) + 2, 32)).astype(np.float32)
        write_word_model(folder / f"model{seed}", ["[PAD]", "[UNK]", *words], vectors)
    queries = folder / "queries.jsonl"
    judged = [
        {"id": topic, "query": f"where is the {topic} kept", "relevant": [f"guides/{topic}.md", f"notes/{topic}.md"]}
        for topic in TOPICS
    ]
    queries.write_text("".join(json.dumps(row) + "\n" for row in judged))
    settings = gnomon.CollectionSettings(model=str(folder / "model1"), chunk_tokens=48, chunk_overlap=0)
    with gnomon.open(folder / "kb", settings=settings) as kb:
        kb.add(documents())
        gate = GateSettings(queries=str(queries))
        migrate(kb, str(folder / "model2"), settings=MigrateSettings(gate=gate, switch_if="never"))
        for _ in range(3):
            monitor(kb, settings=MonitorSettings(sample=50, checked_vectors=20, timed_searches=3, permutations=200))
    return folder / "kb"
