"""Models from a Hugging Face hub: only the files that are needed, and never an endless wait.

The hub client's own snapshot_download lists a model's files without any time-out and repeats a request for
minutes, so gnomon lists and streams by itself, with that client's session, addresses and credentials.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar
from urllib.parse import urlsplit

from gnomon.core.errors import ModelUnsupported, WeightsMismatch
from gnomon.core.progress import Progress, ProgressCallback
from gnomon.encode.cards import Card, verify_weights
from gnomon.encode.hub.cache import SourceResult, SourceSettings, download_folder, install, model_folder
from gnomon.encode.layout.families import FAMILIES
from gnomon.encode.layout.files import inside, read_json
from gnomon.encode.layout.onnx_data import is_onnx_data

T = TypeVar("T")

# Families that run from safetensors; the others run from the repository's ONNX file.
NATIVE_FAMILIES = frozenset({*FAMILIES, "static", "model2vec"})
_CHUNK = 1 << 20


@dataclass(frozen=True)
class RepositoryListing:
    """A model's files at one commit: name to size in bytes, and the SHA-256 of those that have one."""

    commit: str
    sizes: Mapping[str, int]
    sha256: Mapping[str, str]


def fetch_from_hub(
    hub_id: str, card: Card | None, settings: SourceSettings, *, progress: ProgressCallback
) -> SourceResult:
    """Download the model into gnomon's cache.

    Raises ModelUnsupported where the hub has only pickled weights, WeightsMismatch where a file is not what
    the hub itself or the card says it is.
    """
    host = urlsplit(settings.endpoint).netloc or settings.endpoint
    source = f"the hub, {host}"
    if settings.offline:
        return SourceResult(source, reason="skipped, since HF_HUB_OFFLINE is set")
    progress(Progress("loading", message=f"asking {host} for {hub_id}"))
    try:
        revision = card.revision if card else ""
        listing = _within(settings.hub_timeout_s, lambda: _list_files(hub_id, revision, settings))
        target = model_folder(settings, hub_id) / listing.commit
        with download_folder(target) as folder:
            _download(hub_id, listing, folder, settings=settings, progress=progress)
            verify_weights(folder, card)
            return SourceResult(source, install(folder, target))
    except TimeoutError:
        return SourceResult(source, reason=f"did not answer within {settings.hub_timeout_s:g} s")
    except _network_errors() as error:
        return SourceResult(source, reason=_reason(error))


def needed_files(names: Sequence[str], folders: Sequence[str], *, family: str) -> list[str]:
    """The files to fetch: configuration, tokenizer, chat template, safetensors; ONNX only where nothing else runs.

    `folders` are the module folders, "" the root. Raises ModelUnsupported for a model of pickles only.
    """
    here = [name for name in names if _folder(name) in folders]
    configs = [n for n in here if n.endswith((".json", "chat_template.jinja")) and not n.endswith(".bin.index.json")]
    weights = [n for n in here if _is_weights(PurePosixPath(n).name)]
    roots = [f for f in folders if not f or any(_folder(n) == f for n in weights)]
    if family not in NATIVE_FAMILIES or not weights:
        onnx = {f"{root}/onnx".lstrip("/") for root in roots}
        beside = [(n, PurePosixPath(n).name) for n in names if _folder(n) in onnx]
        weights += [n for n, name in beside if name == "model.onnx" or is_onnx_data(name)]
    if not any(n.endswith((".safetensors", ".onnx")) for n in weights):
        pickles = [n for n in here if n.endswith((".bin", ".pt", ".ckpt"))]
        raise ModelUnsupported(
            f"the hub has {'only pickled weights (' + ', '.join(pickles) + ')' if pickles else 'no weights'}",
            expected="model.safetensors or onnx/model.onnx: a pickle runs code when it is loaded",
            hint="where torch is installed, load the model with sentence-transformers, save it to a "
            "folder, and give that folder",
        )
    return sorted({*configs, *weights})


def _is_weights(name: str) -> bool:
    return name in ("model.safetensors", "adapter_model.safetensors") or (
        name.startswith("model-") and name.endswith(".safetensors")
    )


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _list_files(hub_id: str, revision: str, settings: SourceSettings) -> RepositoryListing:
    from huggingface_hub import HfApi

    hub = HfApi(endpoint=settings.endpoint)
    try:
        info = hub.model_info(hub_id, revision=revision or None, timeout=settings.hub_timeout_s, files_metadata=True)
    except (ValueError, KeyError, TypeError) as error:
        # A login page of the network, for one, answers everything with HTML.
        raise ConnectionError("something else than a hub answered") from error
    files = info.siblings or []
    return RepositoryListing(
        commit=inside(Path(), info.sha or "main").name,
        sizes={file.rfilename: file.size or 0 for file in files},
        sha256={file.rfilename: file.lfs.sha256 for file in files if file.lfs},
    )


def _download(
    hub_id: str, listing: RepositoryListing, folder: Path, *, settings: SourceSettings, progress: ProgressCallback
) -> None:
    fetched: set[str] = set()

    def get(*names: str) -> None:
        for name in names:
            if name in listing.sizes and name not in fetched:
                _stream(hub_id, name, listing, folder=folder, settings=settings)
                fetched.add(name)

    get("modules.json", "config.json")
    parts = module_folders(folder)
    get(*(f"{part}/router_config.json".lstrip("/") for part in parts))
    parts += [route for part in parts for route in _routed_folders(folder, part)]
    get(*(f"{part}/config.json" for part in parts if part))
    names = needed_files(list(listing.sizes), ["", *parts], family=_family(folder, parts))
    total = sum(listing.sizes[name] for name in names)
    progress(Progress("loading", message=f"downloading {hub_id}: {len(names)} files, {total / 1e6:,.0f} MB"))
    get(*names)


def module_folders(folder: Path) -> list[str]:
    """The folders that modules.json names, relative to it and with "/", "" for the root; the first has the
    transformer. Raises ModelUnsupported for one outside the model.
    """
    path = folder / "modules.json"
    try:
        rows = json.loads(path.read_bytes()) if path.is_file() else []
        named = [str(row["path"]) for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelUnsupported(
            f"modules.json is not a list of modules: {error}",
            expected="modules.json as sentence-transformers writes it",
            hint="choose another model: `gnomon models` lists some",
        ) from error
    return [inside(folder, name).relative_to(folder).as_posix().removeprefix(".") for name in named]


def _routed_folders(folder: Path, part: str) -> list[str]:
    """The folders of a Router's own modules, "" where `part` is none."""
    named = read_json(folder / part / "router_config.json").get("types") or {}
    return [inside(folder / part, str(name)).relative_to(folder).as_posix() for name in named]


def _family(folder: Path, parts: Sequence[str]) -> str:
    config = read_json(folder / (parts[0] if parts else "") / "config.json")
    return str(config.get("model_type", "static"))


def _stream(hub_id: str, name: str, listing: RepositoryListing, *, folder: Path, settings: SourceSettings) -> None:
    from huggingface_hub import get_session, hf_hub_url
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]

    url = hf_hub_url(hub_id, name, revision=listing.commit, endpoint=settings.endpoint)
    path = inside(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    request = get_session().stream(
        "GET", url, headers=build_hf_headers(), timeout=settings.stall_s, follow_redirects=True
    )
    with request as response, path.open("wb") as file:
        hf_raise_for_status(response)
        for block in response.iter_bytes(_CHUNK):
            digest.update(block)
            file.write(block)
    expected = listing.sha256.get(name)
    if expected and digest.hexdigest() != expected:
        raise WeightsMismatch(
            f"{name} of {hub_id} came from the hub with SHA-256 {digest.hexdigest()[:12]}…",
            expected=f"{expected[:12]}…, which the hub gives for this file",
            hint="try again; if it stays so, something between the hub and this machine changes files",
        )


def _within(timeout_s: float, request: Callable[[], T]) -> T:
    """The answer, or TimeoutError: a name server that does not answer delays the request before its time-out."""
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(request())
        except BaseException as error:  # noqa: BLE001  it goes to the thread that waits
            future.set_exception(error)

    # A daemon, not a pool's thread: the program may end while a request still hangs.
    threading.Thread(target=work, name="gnomon-hub", daemon=True).start()
    return future.result(timeout=timeout_s + 1)


def _network_errors() -> tuple[type[Exception], ...]:
    """What a failing network raises. The hub's client moved from httpx to httpx2, so its own errors are looked up."""
    from huggingface_hub import get_session
    from huggingface_hub.errors import HfHubHTTPError

    transport = importlib.import_module(type(get_session()).__module__.partition(".")[0])
    return (HfHubHTTPError, ConnectionError, transport.HTTPError, transport.InvalidURL)


def _reason(error: Exception) -> str:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, GatedRepoError):
        return "has it, but only for accounts that were granted access (set HF_TOKEN)"
    if isinstance(error, RepositoryNotFoundError):
        return "has no such model, or only for an account with access (set HF_TOKEN)"
    if isinstance(error, RevisionNotFoundError):
        return "has the model, but not this revision"
    if "Timeout" in type(error).__name__:
        return "did not answer in time"
    return f"could not be reached ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
