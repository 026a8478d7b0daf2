"""A small collection with a real (tiny, static) model, served in process or by a real server on a free port."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from starlette.testclient import TestClient

import gnomon
from gnomon.serve.app import create_app
from gnomon.serve.server import bound, connection_options
from gnomon.serve.settings import ServeSettings
from support.static_models import write_word_model

DOCUMENTS = [
    {"id": "guides/sundial.md", "text": "A gnomon casts the shadow of a sundial.", "metadata": {"year": 2020}},
    {"id": "guides/clock.md", "text": "A clock tells the time without the sun.", "metadata": {"year": 2021}},
    {"id": "rivers/rhine", "text": "The Rhine is a river in Europe.", "metadata": {"year": 2022, "lang": "en"}},
]


def make_collection(folder: Path, documents: list[dict[str, Any]] | None = None) -> Path:
    """A collection in folder/kb with a model in folder/model."""
    texts = [each["text"] for each in DOCUMENTS if documents is None] + [each["text"] for each in documents or ()]
    words = sorted({word.lower() for text in texts for word in re.findall(r"\w+|[^\w\s]+", text)})
    vectors = np.random.default_rng(0).standard_normal((len(words) + 2, 32)).astype(np.float32)
    model = write_word_model(folder / "model", ["[PAD]", "[UNK]", *words], vectors)
    with gnomon.open(folder / "kb", settings=gnomon.CollectionSettings(model=str(model))) as kb:
        kb.add(DOCUMENTS if documents is None else documents)
    return folder / "kb"


@contextlib.contextmanager
def client(collections: Mapping[str, Path] | None = None, **settings: Any) -> Iterator[TestClient]:
    """A client in process; the application is started and closed."""
    app = create_app(ServeSettings(collections=collections or {}, **settings))
    with TestClient(app, base_url="http://127.0.0.1") as inside:
        yield inside


@contextlib.contextmanager
def server(collections: Mapping[str, Path] | None = None, **settings: Any) -> Iterator[str]:
    """A real server on a free port of this machine, in a thread: its address."""
    listening = bound("127.0.0.1", 0)
    chosen = ServeSettings(collections=collections or {}, **settings)
    app = create_app(chosen)
    running = uvicorn.Server(uvicorn.Config(app, **connection_options(chosen)))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        for _ in range(1000):
            if running.started or not thread.is_alive():
                break
            time.sleep(0.01)
        assert running.started
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        running.should_exit = True
        thread.join(30)
        listening.close()
