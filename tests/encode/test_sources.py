"""Where models come from: folders, caches, and a hub on loopback in good and bad health."""

import json
import shutil
import socket
import time
from dataclasses import replace

import pytest

from gnomon.core.errors import ModelNotFound, ModelUnsupported, StorageError, WeightsMismatch
from gnomon.core.progress import messages_to
from gnomon.encode.hub.cache import SourceSettings, find_on_this_machine
from gnomon.encode.hub.huggingface import needed_files
from gnomon.encode.hub.locate import locate
from gnomon.encode.layout.model import read_layout, read_towers
from support.hub_server import COMMIT, HUB_ID, hub


@pytest.fixture
def model(tiny, tmp_path):
    folder = tiny.write(tmp_path / "origin", "bert")
    tiny.as_sentence_transformer(folder, "mean")
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Empty caches of our own; the digests are remembered there too."""
    monkeypatch.setenv("GNOMON_CACHE", str(tmp_path / "cache"))
    return SourceSettings(cache=tmp_path / "cache", hub_cache=tmp_path / "hub", endpoint=closed_port())


def closed_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{one.getsockname()[1]}"


def same_model(one, other):
    prints = [read_layout(at, name=at.name).ingredients(precision="float").fingerprint() for at in (one, other)]
    return prints[0] == prints[1]


def leftovers(settings):
    return list(settings.cache.rglob(".incoming-*"))


# ---- folders and caches


def test_a_folder_by_its_path(model, here):
    for name in (model, str(model)):
        assert locate(name, here).folder == model


def test_a_folder_of_known_weights_has_their_card(minilm_folder, here, tmp_path):
    copy = tmp_path / "whatever"
    shutil.copytree(minilm_folder, copy)
    assert locate(copy, here).card.name == "all-MiniLM-L6-v2"


def test_a_plain_name_prefers_a_folder_that_holds_a_model(model, here, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some-author").mkdir()
    shutil.copytree(model, tmp_path / HUB_ID)
    assert locate(HUB_ID, here).source.startswith("the folder")
    (tmp_path / HUB_ID / "modules.json").unlink()
    (tmp_path / HUB_ID / "config.json").unlink()
    with pytest.raises(ModelNotFound):
        locate(HUB_ID, here)


@pytest.mark.parametrize("name", ["./nothing", "~/no-such-model-folder", "a/b/c"])
def test_a_path_that_is_not_there(name, here):
    with pytest.raises(ModelNotFound, match="there is no folder"):
        locate(name, here)


def test_the_hubs_own_cache_is_used_and_a_part_of_a_model_is_not(model, here):
    home = here.hub_cache / "models--some-author--tiny-bert"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(COMMIT)
    shutil.copytree(model, home / "snapshots" / COMMIT)
    found = locate(HUB_ID, here)
    assert found.source.startswith("the hub's cache")
    assert same_model(found.folder, model)
    (found.folder / "model.safetensors").unlink()
    with pytest.raises(ModelNotFound, match="incomplete"):
        locate(HUB_ID, here)


def test_a_model_without_a_hub_id_is_not_another_one_in_the_cache(model, here):
    shutil.copytree(model, here.cache / "models" / HUB_ID.replace("/", "--") / COMMIT)
    assert find_on_this_machine(here, HUB_ID, COMMIT)
    shutil.copytree(model, here.cache / "models" / "a-model-beside-the-others")
    assert find_on_this_machine(here, "") is None


def test_a_cache_that_cannot_be_written(model, here, tmp_path):
    (tmp_path / "cache").write_text("a file where the cache should be")
    with hub(model) as (_, endpoint), pytest.raises(StorageError, match="cannot take the model") as caught:
        locate(HUB_ID, replace(here, endpoint=endpoint))
    assert "GNOMON_CACHE" in caught.value.hint


# ---- names


@pytest.mark.parametrize(
    ("name", "near"), [("minilm-l6-v2", "all-MiniLM-L6-v2"), ("bge-smal-en-v1.5", "bge-small-en-v1.5")]
)
def test_an_unknown_short_name_gets_near_ones(name, near, here):
    with pytest.raises(ModelNotFound, match="no model is called") as caught:
        locate(name, here)
    assert near in caught.value.hint


# ---- the hub


def test_the_hub_gives_what_is_needed_and_the_cache_keeps_it(model, here):
    (model / "pytorch_model.bin").write_bytes(b"pickle")
    (model / "onnx").mkdir()
    (model / "onnx" / "model.onnx").write_bytes(b"graph")
    (model / "README.md").write_text("hello")
    heard = []
    with hub(model) as (server, endpoint):
        found = locate(HUB_ID, replace(here, endpoint=endpoint), progress=messages_to(heard.append))
        assert same_model(found.folder, model)
        assert found.source.startswith("the hub, 127.0.0.1")
        fetched = {path.rsplit(COMMIT + "/")[-1] for path in server.asked[1:]}
        assert fetched == {
            "modules.json",
            "config.json",
            "tokenizer.json",
            "sentence_bert_config.json",
            "1_Pooling/config.json",
            "model.safetensors",
        }
        assert len(server.asked) == len(set(server.asked))
        assert [line.split(" ")[0] for line in heard] == ["asking", "downloading"]
    again = locate(HUB_ID, here)
    assert again.folder == found.folder
    assert again.source.startswith("gnomon's cache")
    assert not leftovers(here)


def test_both_towers_of_a_router_come_from_the_hub(tiny, tmp_path, here):
    folder, base = tmp_path / "dual", "sentence_transformers.base.modules"
    types = {}
    for role in ("query", "document"):
        at = f"{role}_0_Transformer"
        tiny.as_sentence_transformer(tiny.write(folder / at, "bert"), "mean")
        shutil.move(folder / at / "1_Pooling", folder / f"{role}_1_Pooling")
        (folder / at / "modules.json").unlink()
        types[at] = f"{base}.transformer.Transformer"
        types[f"{role}_1_Pooling"] = "sentence_transformers.sentence_transformer.modules.pooling.Pooling"
    structure = {role: [part for part in types if part.startswith(role)] for role in ("query", "document")}
    (folder / "modules.json").write_text(json.dumps([{"path": "", "type": f"{base}.router.Router"}]))
    (folder / "router_config.json").write_text(json.dumps({"types": types, "structure": structure}))
    with hub(folder) as (_, endpoint):
        found = locate(HUB_ID, replace(here, endpoint=endpoint)).folder
    names = sorted(str(path.relative_to(found)) for path in found.rglob("*.*"))
    assert names == sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))
    assert read_towers(found, name="dual")["query"].dim == 16


def hang(handler):
    handler.server.stop.wait(30)


def stall(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    handler.wfile.write(b"a beginning")
    handler.wfile.flush()
    handler.server.stop.wait(30)


def cut(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    handler.wfile.write(b"a beginning")


def busy(handler):
    handler.send_response(503)
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def refuse(status, code):
    def answer(handler):
        handler.send_response(status)
        handler.send_header("X-Error-Code", code)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ({"listing": hang}, "did not answer"),
        ({"listing": b"<html>log in to the network</html>"}, "something else than a hub answered"),
        ({"listing": busy}, "could not be reached (Server error '503"),
        ({"listing": refuse(401, "GatedRepo")}, "only for accounts that were granted access (set HF_TOKEN)"),
        ({"model.safetensors": refuse(403, "GatedRepo")}, "only for accounts that were granted access (set HF_TOKEN)"),
        ({"model.safetensors": stall}, "did not answer in time"),
        ({"model.safetensors": cut}, "could not be reached (peer closed"),
    ],
)
def test_a_hub_in_trouble_costs_seconds_and_leaves_nothing(model, here, spoil, said):
    with hub(model, spoil) as (_, endpoint):
        quick = replace(here, endpoint=endpoint, hub_timeout_s=0.5, stall_s=0.5)
        start = time.monotonic()
        with pytest.raises(ModelNotFound) as caught:
            locate(HUB_ID, quick)
        assert time.monotonic() - start < 5
    assert said in caught.value.message
    assert "HF_ENDPOINT" in caught.value.hint
    assert not leftovers(here)


def test_a_port_that_takes_calls_and_never_speaks(here):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        start = time.monotonic()
        with pytest.raises(ModelNotFound, match="did not answer"):
            locate(HUB_ID, replace(here, endpoint=endpoint))
        # As installed: 4 s.
        assert 3 < time.monotonic() - start < 8


def test_a_model_that_the_hub_does_not_have(model, here):
    with hub(model) as (_, endpoint), pytest.raises(ModelNotFound, match="has no such model"):
        locate("some-author/other", replace(here, endpoint=endpoint))


def test_a_file_that_is_not_what_the_hub_says(model, here):
    with (
        hub(model, {"model.safetensors": b"something else"}) as (_, endpoint),
        pytest.raises(WeightsMismatch, match=r"model\.safetensors of some-author"),
    ):
        locate(HUB_ID, replace(here, endpoint=endpoint))
    assert not leftovers(here)


def test_a_hub_with_other_weights_than_the_cards(model, here):
    default = "sentence-transformers/all-MiniLM-L6-v2"
    with hub(model, hub_id=default) as (_, endpoint), pytest.raises(WeightsMismatch, match="SHA-256"):
        locate("all-MiniLM-L6-v2", replace(here, endpoint=endpoint))
    assert not list(here.cache.rglob("model.safetensors"))


def test_a_hub_with_pickles_only(model, here):
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with hub(model) as (_, endpoint), pytest.raises(ModelUnsupported) as caught:
        locate(HUB_ID, replace(here, endpoint=endpoint))
    assert "pytorch_model.bin" in caught.value.message
    assert "save it" in caught.value.hint


def test_offline_asks_nobody(model, here):
    with hub(model) as (server, endpoint):
        with pytest.raises(ModelNotFound, match="skipped, since HF_HUB_OFFLINE is set"):
            locate(HUB_ID, replace(here, endpoint=endpoint, offline=True))
        assert not server.asked


def test_settings_follow_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror.example/")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.delenv("GNOMON_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    settings = SourceSettings.from_environment()
    assert settings.endpoint == "http://mirror.example"
    assert settings.offline
    assert settings.hub_cache == tmp_path / "hf" / "hub"
    assert settings.cache == tmp_path / "gnomon"


BGE_M3 = ["Constant_7_attr__value", "config.json", "model.onnx", "model.onnx_data", "tokenizer.json"]
NAMES = ["config.json", "tokenizer.json", "model.safetensors", "pytorch_model.bin", "onnx/model.onnx"]


@pytest.mark.parametrize(
    ("names", "family", "wanted"),
    [
        (NAMES, "bert", ["config.json", "model.safetensors", "tokenizer.json"]),
        (NAMES, "roformer", ["config.json", "model.safetensors", "onnx/model.onnx", "tokenizer.json"]),
        (
            [
                "config.json",
                "pytorch_model.bin",
                "onnx/model.onnx",
                "onnx/model.onnx_data",
                "onnx/model_q4.onnx",
            ],
            "xlm-roberta",
            ["config.json", "onnx/model.onnx", "onnx/model.onnx_data"],
        ),
        (
            ["model-00001-of-00002.safetensors", "model.safetensors.index.json", "openvino/x.json"],
            "bert",
            ["model-00001-of-00002.safetensors", "model.safetensors.index.json"],
        ),
        (
            ["chat_template.jinja", "config.json", "model.safetensors", "README.md"],
            "qwen3",
            ["chat_template.jinja", "config.json", "model.safetensors"],
        ),
    ],
)
def test_only_needed_files_are_fetched(names, family, wanted):
    assert needed_files(names, [""], family=family) == wanted
