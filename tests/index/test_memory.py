"""More vectors than memory are refused before they are copied."""

from pathlib import Path

import numpy as np
import pytest

from gnomon.core.errors import InvalidInput
from gnomon.index import memory
from gnomon.index.memory import available_bytes, require_memory
from gnomon.index.scan import ScanIndex, ScanSettings

GIB = 1 << 30


def written(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        (folder / name.replace("_", ".", 1)).write_text(content)
    return folder


def test_available_memory_is_the_least_of_machine_and_cgroup(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  9000 kB\nMemAvailable:    4000 kB\n")
    assert available_bytes(meminfo, tmp_path) == 4000 * 1024
    group = written(tmp_path, memory_max="3000000\n", memory_current="2500000\n")
    assert available_bytes(meminfo, group) == 500_000
    # What the group holds of files can be given up.
    written(tmp_path, memory_stat="anon 1\ninactive_file 100000\n")
    assert available_bytes(meminfo, group) == 600_000
    written(tmp_path, memory_max="max\n")
    assert available_bytes(meminfo, group) == 4000 * 1024


def test_the_first_cgroups_are_read_too(tmp_path: Path) -> None:
    group = tmp_path / "memory"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text("1000\n")
    (group / "memory.usage_in_bytes").write_text("1200\n")
    assert available_bytes(tmp_path / "none", tmp_path) == 0


def test_unknown_memory_refuses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert available_bytes(tmp_path / "none", tmp_path) is None
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    require_memory(1 << 60, "vectors")


def test_the_error_says_both_sizes_and_the_way_out() -> None:
    require_memory(9 * GIB, "vectors", available=10 * GIB)
    with pytest.raises(InvalidInput) as error:
        require_memory(91 * GIB // 10, "5 vectors of toy", available=10 * GIB)
    text = str(error.value)
    assert "5 vectors of toy: they take about 9.1 GiB of memory, and 10.0 GiB are free" in text
    assert 'ScanSettings(rows="float16")' in text
    assert "mapped from disk" in text


def test_an_index_refuses_and_stays_as_it_was(space, clustered, monkeypatch: pytest.MonkeyPatch) -> None:
    index = ScanIndex(space(), ScanSettings(exact_below=100))
    index.add(np.arange(50), clustered(space(), 50))
    monkeypatch.setattr(memory, "_UNCHECKED_BYTES", 1000)
    monkeypatch.setattr(memory, "available_bytes", lambda: 20_000)
    with pytest.raises(InvalidInput, match="500 vectors of toy "):
        index.add(np.arange(100, 600), clustered(space(), 500))
    assert len(index) == 50
    assert len(index.search(clustered(space(), 1), k=100)[0]) == 50
    index.add(np.arange(100, 101), clustered(space(), 1))
    assert len(index) == 51


def test_the_estimate_counts_rows_moved_and_codes(space, clustered) -> None:
    index = ScanIndex(space(), ScanSettings(exact_below=600, rows="float16"))
    row = 24 * 4
    index.add(np.arange(500), clustered(space(), 500))
    # One more does not fit the buffer: all move. Rounding to half precision holds two more copies of it.
    assert index.bytes_to_add(1) == 501 * row + row * 3 // 2
    assert index.bytes_to_add(101) > 601 * row + 601 * (2 * 11 + row)
