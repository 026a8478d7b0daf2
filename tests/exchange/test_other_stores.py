"""What other vector stores hold becomes a collection: vectors are taken over where their model is known."""

from __future__ import annotations

import json
import pickle
import sys
import types
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

import gnomon
from gnomon.core.errors import InvalidInput
from gnomon.exchange import ImportSettings, import_collection
from gnomon.testing.toys import HashEncoder
from support.static_models import write_static_model

encoder = partial(HashEncoder, 32, max_tokens=24)
TEXTS = [f"the gnomon number {n} casts a shadow on whale {n % 7}" for n in range(40)]


class Counting(HashEncoder):
    """Remembers the texts that it encoded."""

    def __init__(self) -> None:
        super().__init__(32, max_tokens=24)
        self.texts: list[str] = []

    def encode(self, texts: Any, *, role: Any) -> Any:
        self.texts += texts
        return super().encode(texts, role=role)


def vectors(texts: list[str] = TEXTS, salt: str = "") -> np.ndarray:
    return encoder(salt=salt).encode(texts, role="document").data


def written(path: Path, rows: np.ndarray) -> Path:
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    faiss.write_index(index, str(path))
    return path


class InMemoryDocstore:
    """As LangChain's."""

    def __init__(self, documents: dict[str, Any]) -> None:
        self._dict = documents


class Document:
    """As LangChain's: pydantic gives a state with its `__dict__`."""

    def __init__(self, **fields: Any) -> None:
        vars(self).update(fields)

    def __getstate__(self) -> dict[str, Any]:
        return {"__dict__": dict(vars(self)), "__pydantic_fields_set__": {"page_content"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state["__dict__"])


@pytest.fixture
def langchain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What LangChain's FAISS.save_local writes."""
    for name, held in (
        ("langchain_community.docstore.in_memory", InMemoryDocstore),
        ("langchain_core.documents.base", Document),
    ):
        parts = name.split(".")
        for upto in range(1, len(parts) + 1):
            module = types.ModuleType(".".join(parts[:upto]))
            monkeypatch.setitem(sys.modules, module.__name__, module)
        setattr(module, held.__name__, held)
        monkeypatch.setattr(held, "__module__", name)
    folder = tmp_path / "langchain"
    folder.mkdir()
    written(folder / "index.faiss", vectors())
    documents = {
        f"u{n}": Document(
            id=f"u{n}", page_content=text, metadata={"source": f"{n % 3}.pdf", "page": n}, type="Document"
        )
        for n, text in enumerate(TEXTS)
    }
    rows = {n: f"u{n}" for n in range(len(TEXTS))}
    (folder / "index.pkl").write_bytes(pickle.dumps((InMemoryDocstore(documents), rows)))
    return folder


@pytest.fixture
def llama_index(tmp_path: Path) -> Path:
    """What LlamaIndex's persist writes of a FaissVectorStore."""
    folder = tmp_path / "llama"
    folder.mkdir()
    written(folder / "default__vector_store.json", vectors())
    nodes = {
        f"n{n}": {"__type__": "1", "__data__": {"id_": f"n{n}", "text": text, "metadata": {"file_name": "a.txt"}}}
        for n, text in enumerate(TEXTS)
    }
    (folder / "docstore.json").write_text(json.dumps({"docstore/data": nodes}))
    held = json.dumps({"nodes_dict": {str(n): f"n{n}" for n in range(len(TEXTS))}})
    index = {"index_store/data": {"i": {"__type__": "vector_store", "__data__": held}}}
    (folder / "index_store.json").write_text(json.dumps(index))
    return folder


def test_langchains_vectors_are_taken_over(langchain: Path, tmp_path: Path) -> None:
    counting = Counting()
    report = import_collection(langchain, tmp_path / "kb", encoder=counting)
    assert (report.documents, report.chunks, report.vectors, report.kind) == (40, 40, "taken", "faiss")
    assert "made them" in report.notes[0]
    texts = [text for text in counting.texts if text in TEXTS]
    with gnomon.open(tmp_path / "kb", encoder=counting, create=False) as kb:
        hits = kb.search(TEXTS[12], mode="dense", where="page >= 10")
        assert (hits[0].document, hits[0].source, hits[0].metadata) == ("u12", "0.pdf", {"page": 12})
        assert hits[0].score == pytest.approx(1, abs=1e-4)
    # Once, as the sample that shows which model made the vectors.
    assert sorted(texts) == sorted(TEXTS)


def test_llama_indexs_folder(llama_index: Path, tmp_path: Path) -> None:
    report = import_collection(llama_index, tmp_path / "kb", encoder=encoder())
    assert (report.documents, report.vectors) == (40, "taken")
    with gnomon.open(tmp_path / "kb", encoder=encoder(), create=False) as kb:
        assert kb.get("n3").source == "a.txt"


def test_a_pickle_that_would_run_code_is_refused(langchain: Path, tmp_path: Path) -> None:
    (langchain / "index.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(InvalidInput, match=r"(os|posix)\.system in a file"):
        import_collection(langchain, tmp_path / "kb", encoder=encoder())


def lance(folder: Path, rows: list[dict[str, Any]], name: str = "docs") -> Path:
    lancedb = pytest.importorskip("lancedb")
    lancedb.connect(str(folder)).create_table(name, data=rows)
    return folder


def rows_of(texts: list[str] = TEXTS, salt: str = "") -> list[dict[str, Any]]:
    made = vectors(texts, salt)
    return [
        {"id": f"r{n}", "text": text, "vector": made[n].tolist(), "metadata": {"year": 2000 + n, "tag": "a"}}
        for n, text in enumerate(texts)
    ]


def test_a_lancedb_table_with_rows_that_lack_something(tmp_path: Path) -> None:
    rows = rows_of()
    rows[3] |= {"text": " "}
    rows[5] |= {"vector": [0.0] * 32}
    report = import_collection(lance(tmp_path / "db", rows), tmp_path / "kb", encoder=encoder())
    assert (report.documents, report.skipped) == (39, 1)
    with gnomon.open(tmp_path / "kb", encoder=encoder(), create=False) as kb:
        assert kb.search(TEXTS[5], mode="dense")[0].document == "r5"
        assert kb.get("r5").metadata == {"year": 2005, "tag": "a"}


def refused(source: Path, into: Path, said: str, **settings: Any) -> None:
    with pytest.raises(InvalidInput, match=said):
        import_collection(source, into, ImportSettings(**settings), encoder=encoder())
    assert not into.exists()


def test_what_cannot_be_imported_leaves_nothing(tmp_path: Path, langchain: Path) -> None:
    new = tmp_path / "new"
    refused(lance(tmp_path / "other", rows_of(salt="other")), new, "cannot be taken over: none of the 1 models")
    refused(lance(tmp_path / "mixed", rows_of()[:30] + rows_of(salt="o")[30:]), new, "cannot be taken over")
    refused(lance(tmp_path / "twice", [*rows_of(), rows_of()[7]]), new, "the id 'r7' is that of several rows")
    refused(written(tmp_path / "bare.faiss", vectors()), new, "vectors and no texts")
    refused(tmp_path / "nothing", new, "there is no")
    several = lance(lance(tmp_path / "several", rows_of()), rows_of(), name="more")
    refused(several, new, "a store of 2 parts")
    refused(several, new, "no part 'x'", part="x")
    assert import_collection(several, new, ImportSettings(part="more"), encoder=encoder()).documents == 40


def test_texts_are_embedded_anew_where_that_is_wanted(tmp_path: Path) -> None:
    source = lance(tmp_path / "db", rows_of(salt="other"))
    report = import_collection(source, tmp_path / "kb", ImportSettings(embed=True), encoder=encoder())
    assert (report.documents, report.vectors) == (40, "embedded")
    with gnomon.open(tmp_path / "kb", encoder=encoder(), create=False) as kb:
        assert kb.search(TEXTS[8], mode="dense")[0].document == "r8"


def test_a_dry_run_by_the_models_name(tmp_path: Path) -> None:
    model = write_static_model(tmp_path / "model")
    made = gnomon.load_encoder(str(model)).encode(TEXTS, role="document").data
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    source = written(tmp_path / "index.faiss", made)
    settings = {"model": str(model), "texts": tmp_path / "texts.txt"}
    report = import_collection(source, tmp_path / "kb", ImportSettings(check=True, **settings))
    assert (report.documents, report.model) == (40, str(model))
    assert not (tmp_path / "kb").exists()
    assert import_collection(source, tmp_path / "kb", ImportSettings(**settings)).documents == 40
    with gnomon.open(tmp_path / "kb", create=False) as kb:
        assert kb.search(TEXTS[8], mode="dense")[0].score == pytest.approx(1, abs=1e-4)
