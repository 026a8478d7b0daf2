"""An encoder that writes down what it encodes, as a plug-in that every process finds, also on a cluster's workers."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import gnomon
from gnomon.core import plugins
from gnomon.core.contracts import Role
from gnomon.core.token_counting import TokenCounting
from gnomon.core.vectors import Vectors
from gnomon.testing.toys import HashEncoder

MODEL = "counting:64"
_TOKENIZER = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [],
    "normalizer": None,
    "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": None,
    "decoder": None,
    "model": {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"},
}


class CountingEncoder(HashEncoder):
    """Appends each text to a file of its process in COUNTED; dies once where the file CRASH is there, then no more."""

    def __init__(self, salt: str = "") -> None:
        super().__init__(64, salt=salt, max_tokens=48)
        self.token_counting = TokenCounting(json.dumps(_TOKENIZER), special_tokens=False)

    @property
    def tokenizer_json(self) -> str | None:
        return self.token_counting.tokenizer_json

    def count_tokens(self, texts: Sequence[str], *, role: Role) -> list[int]:
        return self.token_counting.counter()(texts)

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        of_documents = [text for text in texts if role == "document" and text.startswith("Item")]
        folder = Path(os.environ["COUNTED"])
        if of_documents:
            time.sleep(float(os.environ.get("COUNTED_SLEEP_S", "0")))
            try:
                (folder / "CRASH").unlink()
            except FileNotFoundError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        vectors = super().encode(texts, role=role)
        with (folder / f"{os.getpid()}.log").open("a") as log:
            log.writelines(json.dumps(text) + "\n" for text in of_documents)
        return vectors


def make(model: str, *, settings: object = None, prompts: object = None) -> gnomon.core.contracts.Encoder:
    """The plug-in's function. A file SALT makes the workers' model another one than the driver's."""
    salt = Path(os.environ["COUNTED"]) / "SALT"
    return CountingEncoder("other" if salt.exists() and "default_worker.py" in sys.argv[0] else "")


@contextmanager
def counting_encoder(folder: Path) -> Iterator[Path]:
    """The plug-in is installed within the block, for this process and those it starts. Gives the folder of its logs."""
    about = folder / "counting_encoder-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: counting-encoder\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[gnomon.encoders]\ncounting = support.counting_encoder:make\n")
    logs = folder / "logs"
    logs.mkdir()
    before = dict(os.environ)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), before["PYTHONPATH"]])
    os.environ["COUNTED"] = str(logs)
    sys.path.insert(0, str(folder))
    plugins._declared.cache_clear()
    try:
        yield logs
    finally:
        sys.path.remove(str(folder))
        os.environ.clear()
        os.environ.update(before)
        plugins._declared.cache_clear()


def encoded(logs: Path) -> Counter[str]:
    """How often each text was encoded to its end."""
    return Counter(json.loads(line) for log in logs.glob("*.log") for line in log.read_text().splitlines())
