"""The process that fits UMAP: python -m gnomon.map.worker FOLDER VERSION. `background.start_umap` runs it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from gnomon.collection.opening import open_collection
from gnomon.core.errors import CollectionBusy, GnomonError
from gnomon.map.collection_map import CollectionMap

_NICE = 10


def main(arguments: list[str]) -> int:
    """Fit UMAP of one version and keep it. Returns the exit code."""
    folder, version = arguments
    with suppress(AttributeError, OSError):  # not on every system, not always permitted
        os.nice(_NICE)
    try:
        with open_collection(folder, create=False, version=version) as kb:
            CollectionMap(kb).fit_umap()
    except CollectionBusy:
        return 0  # another process fits it
    except GnomonError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
