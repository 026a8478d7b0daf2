"""What counts as a fault of a derived index, after which it is rebuilt from the catalog."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from gnomon.core.errors import GnomonError
from gnomon.core.files import DISK_ERRORS
from gnomon.index.manifest import damaged

_NO_FAULT_OF_THE_INDEX = (GnomonError, SQLAlchemyError, sqlite3.Error, MemoryError)
"""What has its own meaning: a full disk, a lock, the catalog itself, memory."""


@contextmanager
def index_faults(folder: Path) -> Iterator[None]:
    """Turns whatever the libraries and files of an index raise into IndexDamaged.

    Errors that rebuilding would not mend pass: gnomon's own, the catalog's, and a disk that is full or refuses.
    A file that cannot be read (EIO) is a fault: the rebuilt index has other files.
    """
    try:
        yield
    except _NO_FAULT_OF_THE_INDEX:
        raise
    except OSError as error:
        if error.errno in DISK_ERRORS - {errno.EIO}:
            raise
        raise damaged(folder, str(error)) from error
    except Exception as error:
        raise damaged(folder, f"{type(error).__name__}: {str(error)[:300]}") from error
