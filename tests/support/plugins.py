"""Entry points of packages that are not really installed."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from unittest.mock import patch

from gnomon.core import plugins


@contextmanager
def installed_plugins(*entries: EntryPoint) -> Iterator[None]:
    """These entry points, and no others, are declared within the block."""
    by_group = {group: [e for e in entries if e.group == group] for group in {e.group for e in entries}}
    plugins._declared.cache_clear()
    try:
        with patch.object(plugins, "entry_points", lambda group: by_group.get(group, [])):
            yield
    finally:
        plugins._declared.cache_clear()
