"""Entry points of packages that are not really installed."""

import importlib.metadata
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from unittest.mock import patch

from gnomon.core import plugins


@contextmanager
def installed_plugins(*entries: EntryPoint) -> Iterator[None]:
    """These entry points, and no others, are declared within the block."""
    by_group = {group: [e for e in entries if e.group == group] for group in {e.group for e in entries}}
    plugins._declared.cache_clear()
    try:
        with patch.object(importlib.metadata, "entry_points", lambda group: by_group.get(group, [])):
            yield
    finally:
        plugins._declared.cache_clear()


@contextmanager
def installed_readers(folder: Path, source: str, **functions: str) -> Iterator[None]:
    """A package in `folder` with this source is installed within the block, also for processes that gnomon starts.

    Its functions read the files of these extensions.
    """
    (folder / "odd_readers.py").write_text(source)
    about = folder / "odd_readers-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-readers\nVersion: 1.0\n")
    lines = [f"{extension} = odd_readers:{name}" for extension, name in functions.items()]
    (about / "entry_points.txt").write_text("\n".join(["[gnomon.readers]", *lines]) + "\n")
    sys.path.insert(0, str(folder))
    plugins._declared.cache_clear()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("odd_readers", None)
        plugins._declared.cache_clear()
