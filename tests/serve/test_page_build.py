"""The built page in src/gnomon/serve/page is the one that web/ builds."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WEB, PAGE = ROOT / "web", ROOT / "src" / "gnomon" / "serve" / "page"


def _source_digest() -> str:
    """As web/build.mjs computes it."""
    sources = [path for path in (WEB / "src").rglob("*") if path.is_file()]
    names = {path.relative_to(WEB).as_posix() for path in sources} | {"build.mjs", "package-lock.json"}
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(name.encode() + b"\0" + (WEB / name).read_bytes() + b"\0")
    return digest.hexdigest()


def test_the_page_was_built_from_these_sources() -> None:
    built_from = (PAGE / "built-from.txt").read_text().strip()

    assert built_from == _source_digest(), "web/ was changed: make page builds it anew"


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_building_again_gives_the_same_files(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None or not (WEB / "node_modules" / "esbuild").is_dir():
        pytest.skip("needs node and what web/package-lock.json names: run `make page` once")

    subprocess.run([node, "build.mjs", str(tmp_path / "page")], cwd=WEB, check=True, capture_output=True)

    assert _files(tmp_path / "page") == _files(PAGE)
