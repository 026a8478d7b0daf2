"""Other stores: FAISS files and Qdrant's REST API, and which model made their vectors."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from gnomon.core.errors import InvalidInput
from gnomon.doctor import ColumnNames, StoreReport, StoreSettings, StoreSource, VectorBatch, examine_store
from gnomon.doctor.identify_model import identify_models
from gnomon.doctor.stores.examine import StorePart, is_store
from gnomon.encode import load_encoder
from gnomon.testing.toys import HashEncoder, LateHashEncoder
from support.plugins import installed_plugins
from support.version_collections import WORDS

COUNT = 40
TEXTS = [" ".join(np.random.default_rng(n).choice(WORDS, 6, replace=False)) for n in range(COUNT)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """No model of this machine's user, but where a test is about it."""
    if "minilm_folder" not in request.fixturenames:
        monkeypatch.setenv("GNOMON_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "cache"


def encoded(model: Path | HashEncoder, texts: list[str] | None = None) -> np.ndarray:
    encoder = model if isinstance(model, HashEncoder) else load_encoder(model)
    return np.array(encoder.encode(texts or TEXTS, role="document").data)


def written(folder: Path, rows: np.ndarray, index: Any = None) -> Path:
    path = folder / "index.faiss"
    index = index or faiss.IndexFlatIP(rows.shape[1])
    if not index.is_trained:
        index.train(rows)
    if len(rows):
        index.add(rows)
    faiss.write_index(index, str(path))
    return path


def texts_file(folder: Path, texts: list[str] | None = None) -> Path:
    path = folder / "texts.txt"
    path.write_text("\n".join(texts or TEXTS) + "\n")
    return path


def looked(path: Path, *models: Any, **settings: Any) -> StorePart:
    (part,) = examine_store(path, models, StoreSettings(**settings)).parts
    return part


def checks(part: StorePart) -> list[str]:
    return [each.check for each in part.findings]


def test_the_model_that_made_them(tmp_path: Path, static_model: Callable[..., Path]) -> None:
    right, wrong = static_model("right"), static_model("wrong", seed=1)
    path = written(tmp_path, encoded(right))
    part = looked(path, wrong, right, texts=texts_file(tmp_path))
    assert (part.rows, part.vectors, part.dim, part.is_normalised) == (COUNT, COUNT, 48, True)
    assert part.model is not None
    assert part.model.verdict == "one"
    assert part.model.summary == f"{right} made them: median cosine 1.0000 of {COUNT}"
    assert [name for name, _ in part.model.nearest] == [str(right), str(wrong)]
    assert part.findings == ()


def test_models_of_this_machine_are_tried(tmp_path: Path, static_model: Callable[..., Path], cache: Path) -> None:
    folder = static_model("right")
    static_model("wide", dim=64).rename(tmp_path / "wide")
    for name, at in (("someone--right", folder), ("someone--wide", tmp_path / "wide")):
        (cache / "models" / name).mkdir(parents=True)
        at.rename(cache / "models" / name / "main")
    path = written(tmp_path, encoded(cache / "models" / "someone--right" / "main"))
    model = looked(path, texts=texts_file(tmp_path)).model
    assert model is not None
    assert [name for name, _ in model.nearest] == ["someone/right"]  # the other has more dimensions
    assert model.summary.startswith("someone/right made them")


def test_no_model_of_so_many_dimensions(tmp_path: Path) -> None:
    part = looked(written(tmp_path, encoded(HashEncoder(12))), texts=texts_file(tmp_path))
    assert part.model is not None
    assert part.model.verdict == "unknown"
    assert any("no known model of 12 dimensions is on this machine" in note for note in part.notes)
    assert checks(part) == []


def test_two_models_are_mixed(tmp_path: Path) -> None:
    one, two = HashEncoder(32), HashEncoder(32, salt="two")
    rows = encoded(one)
    rows[:10] = encoded(two)[:10]
    part = looked(written(tmp_path, rows), one, two, HashEncoder(32, salt="x"), texts=texts_file(tmp_path))
    assert part.model is not None
    assert (part.model.verdict, part.model.unexplained) == ("mixed", 0)
    assert [(maker.model, maker.vectors) for maker in part.model.models] == [
        ("hash-32", 30),
        ("hash-32-two", 10),
    ]
    assert "75% (59% to 87%) are of hash-32, 25% (13% to 41%) are of hash-32-two" in part.model.summary
    (finding,) = part.findings
    assert (finding.check, finding.severity, finding.count) == ("model", "error", 10)


def test_one_model_and_something_else(tmp_path: Path) -> None:
    rows = encoded(HashEncoder(32))
    rows[:4] = encoded(HashEncoder(32, salt="unknown"))[:4]
    part = looked(written(tmp_path, rows), HashEncoder(32), texts=texts_file(tmp_path))
    assert part.model is not None
    assert (part.model.verdict, part.model.unexplained) == ("partly", 4)
    assert "hash-32 made 90% of them" in part.model.summary
    assert checks(part) == ["model"]


def test_none_of_the_models(tmp_path: Path) -> None:
    path = written(tmp_path, encoded(HashEncoder(32)))
    part = looked(path, HashEncoder(32, salt="other"), texts=texts_file(tmp_path))
    assert part.model is not None
    assert part.model.verdict == "none"
    assert part.model.summary.startswith("none of the 1 models tried made them: the nearest, hash-32-other, has")
    assert checks(part) == ["model"]  # since it was named


def test_late_and_narrower_models_cannot_have_made_them(tmp_path: Path) -> None:
    path = written(tmp_path, encoded(HashEncoder(32)))
    part = looked(path, LateHashEncoder(32), HashEncoder(16), texts=texts_file(tmp_path))
    assert part.model is not None
    assert part.model.verdict == "unknown"


def test_a_model_that_is_not_to_be_had_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, encoded(HashEncoder(32)))
    part = looked(path, HashEncoder(32), "no-such-model", texts=texts_file(tmp_path))
    assert part.model is not None
    assert part.model.verdict == "one"
    assert any(note.startswith("could not be tried: no-such-model") for note in part.notes)


def test_vectors_cut_to_a_prefix(tmp_path: Path) -> None:
    rows = encoded(HashEncoder(32))[:, :24]
    part = looked(written(tmp_path, np.ascontiguousarray(rows)), HashEncoder(32), texts=texts_file(tmp_path))
    assert part.model is not None
    assert part.model.models[0].how == "truncated to 24 of 32 dimensions"
    assert not part.is_normalised


def test_prompts_left_out_or_of_the_other_role(tmp_path: Path, static_model: Callable[..., Path]) -> None:
    folder = static_model("prompted")
    prompts = {"query": "amber birch ", "document": "zephyr yarrow "}
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts}))
    texts = texts_file(tmp_path)
    bare = load_encoder(folder, prompts={"query": "", "document": ""}).encode(TEXTS, role="document").data
    model = looked(written(tmp_path, np.array(bare)), folder, texts=texts).model
    assert model is not None
    assert model.summary.startswith(f"{folder} (without prompts) made them")
    queries = load_encoder(folder).encode(TEXTS, role="query").data
    model = looked(written(tmp_path, np.array(queries)), folder, texts=texts).model
    assert model is not None
    assert model.summary.startswith(f"{folder} (as queries) made them")
    rows = np.concatenate([bare[:20], queries[20:]])
    model = looked(written(tmp_path, rows), folder, texts=texts).model
    assert model is not None
    assert {maker.how for maker in model.models} == {"as queries", "without prompts"}


def test_minilm_is_recognised(tmp_path: Path, minilm_folder: Path) -> None:
    rows = encoded(minilm_folder, TEXTS[:12])
    part = looked(written(tmp_path, rows), texts=texts_file(tmp_path, TEXTS[:12]))
    assert part.model is not None
    assert part.model.summary == "all-MiniLM-L6-v2 made them: median cosine 1.0000 of 12"


@pytest.mark.parametrize(
    ("make", "note"),
    [
        (lambda: faiss.IndexHNSWFlat(32, 8), "IndexHNSWFlat"),
        (lambda: faiss.IndexIVFFlat(faiss.IndexFlatL2(32), 32, 4), "IndexIVFFlat"),
        (lambda: faiss.index_factory(32, "SQ8"), "codes"),
        (lambda: faiss.index_factory(32, "L2norm,Flat"), "IndexPreTransform"),
        (lambda: faiss.IndexIDMap(faiss.IndexFlatIP(32)), "IndexIDMap"),
    ],
)
def test_kinds_of_faiss_indexes(tmp_path: Path, make: Callable[[], Any], note: str) -> None:
    rows, index = encoded(HashEncoder(32)), make()
    if isinstance(index, faiss.IndexIDMap):
        index.add_with_ids(rows, np.arange(100, 100 + COUNT))
        path = written(tmp_path, np.zeros((0, 32), "f4"), index)
    else:
        path = written(tmp_path, rows, index)
    part = looked(path, HashEncoder(32), texts=texts_file(tmp_path))
    assert part.model is not None
    assert part.model.verdict == "one"
    assert any(note in each for each in part.notes)


def test_vectors_that_cannot_be_and_copies(tmp_path: Path) -> None:
    rows = encoded(HashEncoder(32))
    rows[3], rows[5, 2], rows[8] = 0, np.nan, rows[7]
    rows[9] *= 3
    part = looked(written(tmp_path, rows))
    found = {each.check: each for each in part.findings}
    assert set(found) == {"zero", "not-finite", "equal-vectors"}
    assert [found[check].examples for check in ("zero", "not-finite", "equal-vectors")] == [
        ("3",),
        ("5",),
        ("8",),
    ]
    assert part.lengths == pytest.approx((1, 1, 3), abs=1e-5)
    assert not part.is_normalised
    assert part.model is None
    assert "no texts are known: which model made the vectors is unknown" in " ".join(part.notes)


def test_texts_as_json_lines(tmp_path: Path) -> None:
    path = written(tmp_path, encoded(HashEncoder(32)))
    lines = tmp_path / "texts.jsonl"
    lines.write_text("".join(json.dumps({"body": text, "n": 1}) + "\n" for text in TEXTS))
    assert looked(path, HashEncoder(32), texts=lines).model is not None
    lines.write_text("".join(json.dumps({"said": text, "text": "x"}) + "\n" for text in TEXTS))
    part = looked(path, HashEncoder(32), texts=lines, text="said")
    assert part.model is not None
    assert part.model.verdict == "one"
    lines.write_text("{\n" * COUNT)
    with pytest.raises(InvalidInput, match="line 1: no JSON"):
        looked(path, texts=lines)


def test_a_look_changes_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, encoded(HashEncoder(32)))
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    looked(path, HashEncoder(32), texts=texts_file(tmp_path))
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("nothing", "there is no "),
        ("folder", "is of no known store"),
        ("rubbish", "cannot be read as a FAISS index"),
        ("ftp://host/x", "is of no known store"),
    ],
)
def test_places_that_are_no_store(tmp_path: Path, place: str, said: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "rubbish").write_bytes(b"rubbish" * 100)
    with pytest.raises(InvalidInput, match=said) as error:
        examine_store(place if "://" in place else tmp_path / place)
    assert "Chroma or LanceDB folder" in error.value.expected
    assert error.value.hint


def test_texts_that_do_not_fit(tmp_path: Path) -> None:
    path = written(tmp_path, encoded(HashEncoder(32)))
    with pytest.raises(InvalidInput, match=r"has 3 texts, .* 40 vectors"):
        looked(path, texts=texts_file(tmp_path, TEXTS[:3]))
    with pytest.raises(InvalidInput, match="cannot be read"):
        looked(path, texts=tmp_path / "none.txt")
    with pytest.raises(InvalidInput, match="a sample of 0"):
        looked(path, sample=0)


def test_makers_without_anything_to_compare() -> None:
    assert (
        identify_models([], ["x"], np.ones((1, 3), "f4"), progress=lambda _: None).summary
        == "there was no model to compare with"
    )


@pytest.mark.skipif(importlib.util.find_spec("lancedb") is not None, reason="lancedb is installed")
def test_lance_without_its_library(tmp_path: Path) -> None:
    (tmp_path / "items.lance").mkdir()
    with pytest.raises(InvalidInput, match="lancedb, which reads it, is not installed") as error:
        examine_store(tmp_path)
    assert "pip install" in error.value.hint


class Server(ThreadingHTTPServer):
    """Answers as Qdrant's REST API is documented to: a collection's info, and its points page by page."""

    points: list[dict[str, Any]]
    vectors: dict[str, Any]
    key = ""
    asked: list[dict[str, Any]]


class Answers(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.server.key and self.headers.get("api-key") != self.server.key:
            self._say({"status": {"error": "Must provide an API key"}}, 401)
        elif self.path == "/collections":
            self._say({"result": {"collections": [{"name": "items"}]}})
        elif self.path == "/collections/items":
            params = {"vectors": self.server.vectors, "shard_number": 1, "on_disk_payload": True}
            result = {
                "status": "green",
                "points_count": len(self.server.points),
                "config": {"params": params},
            }
            self._say({"result": result, "status": "ok", "time": 0.001})
        else:
            self._say({"status": {"error": "Not found"}}, 404)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(asked)
        first = next((n for n, p in enumerate(self.server.points) if p["id"] == asked.get("offset")), 0)
        page = self.server.points[first : first + min(asked["limit"], 15)]
        after = first + len(page)
        more = self.server.points[after]["id"] if after < len(self.server.points) else None
        keep = ("id", "payload", "vector") if asked["with_vector"] else ("id", "payload")
        points = [{name: point[name] for name in keep} for point in page]
        self._say({"result": {"points": points, "next_page_offset": more}, "status": "ok"})

    def _say(self, plain: Any, code: int = 200) -> None:
        self.send_response(code)
        self.end_headers()
        self.wfile.write(json.dumps(plain).encode())

    def log_message(self, *_: object) -> None:
        return None


@pytest.fixture
def qdrant() -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Answers)
    rows = encoded(HashEncoder(32))
    server.points = [
        {"id": n + 1, "payload": {"text": text, "page": n}, "vector": row.tolist()}
        for n, (text, row) in enumerate(zip(TEXTS, rows, strict=True))
    ]
    server.vectors, server.asked = {"size": 32, "distance": "Cosine"}, []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def address(server: Server, path: str = "/collections/items") -> str:
    return f"http://127.0.0.1:{server.server_port}{path}"


def examined(place: str, *models: Any) -> StoreReport:
    return examine_store(place, models or (HashEncoder(32),))


def test_a_qdrant_collection(qdrant: Server) -> None:
    found = examined(address(qdrant))
    (part,) = found.parts
    assert (found.kind, part.name, part.rows, part.dim) == ("qdrant", "items", COUNT, 32)
    assert part.model is not None
    assert part.model.verdict == "one"
    assert "Qdrant normalises the vectors of a cosine collection" in part.notes
    assert json.loads(json.dumps(found.to_json()))["parts"][0]["model"]["summary"] == part.model.summary
    assert [each["with_payload"] for each in qdrant.asked[1:]] == [["text"]] * 3


def test_named_vectors_and_rows_that_lack_something(qdrant: Server) -> None:
    qdrant.vectors = {"title": {"size": 2, "distance": "Dot"}, "body": {"size": 32, "distance": "Dot"}}
    for point in qdrant.points:
        point["vector"] = {"body": point["vector"], "title": [1.0, 2.0]}
    qdrant.points[4]["vector"] = {"title": [1.0, 2.0]}
    qdrant.points[5]["payload"] = {}
    with pytest.raises(InvalidInput, match="may be its vector: title, body"):
        examined(address(qdrant))
    (part,) = examined(address(qdrant) + "?vector=body&text=text").parts
    assert (part.rows, part.vectors) == (COUNT, COUNT - 1)
    assert {each.check: each.examples for each in part.findings} == {"no-vector": ("5",), "no-text": ("6",)}
    with pytest.raises(InvalidInput, match="no vector column 'other'"):
        examined(address(qdrant) + "?vector=other")


def test_a_qdrant_server_that_refuses_or_is_none(qdrant: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="does not exist"):
        examined(address(qdrant, "/collections/others"))
    with pytest.raises(InvalidInput, match="names no collection") as error:
        examined(address(qdrant, ""))
    assert "there are: items" in error.value.expected
    qdrant.key = "secret"
    with pytest.raises(InvalidInput, match="refuses: 401") as error:
        examined(address(qdrant))
    assert "QDRANT_API_KEY" in error.value.hint
    monkeypatch.setenv("QDRANT_API_KEY", "secret")
    assert examined(address(qdrant)).errors == 0


def test_no_server_at_all() -> None:
    with pytest.raises(InvalidInput, match="nothing answers at"):
        examined("http://127.0.0.1:9/collections/items")


def toy_store(place: str, columns: ColumnNames) -> list[StoreSource]:
    """A reader of another package: the texts and their vectors, by the name of the text's column."""
    rows = encoded(HashEncoder(32))
    batch = VectorBatch([str(n) for n in range(COUNT)], list(rows), TEXTS)
    return [StoreSource(f"{place} {columns.text}", lambda: iter([batch]))]


def test_a_store_of_a_plug_in_by_scheme_and_by_suffix(tmp_path: Path) -> None:
    folder = tmp_path / "vectors.TOY"
    folder.mkdir()
    assert not is_store(folder)
    settings = StoreSettings(text="body")
    with installed_plugins(EntryPoint("toy", f"{__name__}:toy_store", "gnomon.stores")):
        assert is_store(folder)
        for place in ("toy://host/x", str(folder)):
            found = examine_store(place, [HashEncoder(32)], settings)
            (part,) = found.parts
            assert (found.kind, part.name, part.rows) == ("toy", f"{place} body", COUNT)
            assert part.model is not None
            assert part.model.verdict == "one"
        with pytest.raises(InvalidInput, match="of no known store") as error:
            examine_store("ftp://host/x")
        assert error.value.expected.endswith(", toy")


def test_old_names_of_fields_are_read(tmp_path: Path) -> None:
    part = looked(written(tmp_path, encoded(HashEncoder(32))), HashEncoder(32), texts=texts_file(tmp_path))
    with pytest.warns(DeprecationWarning, match="StorePart.made is now model"):
        old = part.made  # type: ignore[attr-defined]
    assert old is part.model
    with pytest.warns(DeprecationWarning, match="ModelIdentification.makers is now models"):
        assert old.makers == old.models
    with pytest.warns(DeprecationWarning, match="ModelIdentification.said is now summary"):
        assert old.said == old.summary


def test_old_names_are_the_new_ones() -> None:
    import gnomon.doctor

    for old, new in {
        "Examination": "DoctorReport",
        "Finding": "DoctorFinding",
        "StoreExamination": "StoreReport",
    }.items():
        with pytest.warns(DeprecationWarning, match=f"gnomon.doctor.{old} is now gnomon.doctor.{new}"):
            assert getattr(gnomon.doctor, old) is getattr(gnomon.doctor, new)
