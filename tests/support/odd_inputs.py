"""Broken files and odd texts, as commands and functions may be given."""

from __future__ import annotations

import json
from pathlib import Path

import gnomon
from support.static_models import write_static_model

TEXTS = ["", " ", "\x00", "\ud800", "a", "n1 note", "-1", "v1", "é" * 300, "C++ 'x", "{", "[]", "a=b", "lr=-1", "nan"]


def broken_files(folder: Path) -> None:
    """Files and folders of every kind that a command may be pointed at, few of them whole."""
    rows = [{"_id": f"d{n}", "title": "", "text": f"n{n} note sundial"} for n in range(8)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    contents: dict[str, bytes] = {
        "corpus.jsonl": lines.encode(),
        "queries.jsonl": lines.replace("title", "other").encode(),
        "cut.jsonl": lines.encode()[:-9],
        "list.json": b"[1, 2, {}]",
        "nested.json": b"[" * 600 + b"]" * 600,
        "pairs.jsonl": b'{"query": "n1", "positive": "n2"}\n' * 4,
        "odd.jsonl": b'{"query": 1, "positive": null}\n"x"\n{"label": "maybe", "sentence1": []}\n\xff\xfe\n',
        "rows.csv": b'id,text,year\n1,n1,2020\n2,"n2\n',
        "nul.csv": b"a,b\n\x00,1\n",
        "qrels.tsv": b"query-id\tcorpus-id\tscore\nd1\td2\t1\nd2\td3\tx\n",
        "good.qrels": b"d1 0 d1 1\nd2 0 d2 2\n",
        "a.run": b"d1 Q0 d1 1 3.0 r\nd1 Q0 d2 2 nan r\n",
        "recipe.toml": b"[model]\nbackbone = 'nothing'\n[[data.sources]]\npath = 'pairs.jsonl'\n",
        "bad.toml": b"[model\n",
        "words.vec": b"2 3\nking 1 2 3\nqueen 1 2\n",
        "words.txt": b"king 1 2 nan\n",
        "empty": b"",
        "binary.bin": bytes(range(256)) * 8,
        "page.pdf": b"%PDF-1.7\n1 0 obj\n",
        "doc.docx": b"PK\x03\x04 no archive",
        "data.parquet": b"PAR1PAR1",
        "data.db": b"SQLite format 3\x00" + b"\x00" * 84,
        "a.npy": b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'",
        "adapter.npz": b"PK\x05\x06" + b"\x00" * 18,
        "good.txt": b"n1 note sundial read\n\nn2 note\n",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "hollow").mkdir()
    (folder / "hollow" / "config.json").write_text('{"model_type": "bert"}')
    (folder / "none-here").mkdir()


def make_world(folder: Path) -> Path:
    """Broken files, a model, and a collection of it that was searched once."""
    broken_files(folder)
    model = write_static_model(folder / "model")
    with gnomon.open(folder / "kb", settings=gnomon.CollectionSettings(model=str(model))) as kb:
        kb.add([{"id": f"d{n}", "text": f"n{n} note sundial", "metadata": {"year": 2000 + n}} for n in range(8)])
        kb.search("note")
    return folder
