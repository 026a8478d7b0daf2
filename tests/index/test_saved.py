import json
import subprocess
import sys
import textwrap
import zlib
from dataclasses import replace

import numpy as np
import pytest

from gnomon.core.errors import IndexDamaged
from gnomon.core.vectors import Vectors
from gnomon.index import manifest
from gnomon.index.exact import ExactIndex
from gnomon.index.scan import ScanIndex, ScanSettings
from gnomon.index.storage import StoredForm, load

SCAN = ScanSettings(exact_below=100, min_recall=0.0)


def exact(space):
    return ExactIndex(space)


def scan(space):
    return ScanIndex(space, SCAN)


def graph(space):
    return ScanIndex(space, replace(SCAN, find="hnsw"))


def lists(space):
    return ScanIndex(space, replace(SCAN, find="ivf"))


def reopened(index, folder):
    kind = type(index)
    settings = (index.settings,) if kind is ScanIndex else ()
    return kind.load(folder, index.space, *settings)


def assert_alike(one, other, queries):
    assert len(one) == len(other)
    for a, b in zip(one.search(queries, k=20), other.search(queries, k=20), strict=True):
        np.testing.assert_array_equal(a.ids, b.ids)
        np.testing.assert_array_equal(a.scores, b.scores)


@pytest.mark.parametrize("make", [exact, scan, graph, lists])
@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_what_is_saved_is_loaded_after_any_change(space, clustered, tmp_path, make, similarity):
    index = make(space(similarity))
    data, queries = clustered(index.space, 2000), clustered(index.space, 5, seed=1)
    index.save(tmp_path, stamp=0)
    assert len(reopened(index, tmp_path)[0]) == 0
    index.add(np.arange(700), data.take(np.arange(700)))
    index.save(tmp_path, stamp=1)
    index.add(np.arange(690, 1000), data.take(np.arange(690, 1000)))
    index.save(tmp_path, stamp=2)
    again, stamp = reopened(index, tmp_path)
    assert stamp == 2
    assert_alike(index, again, queries)
    again.add(np.arange(1000, 1500), data.take(np.arange(1000, 1500)))
    again.remove(np.arange(20))
    again.save(tmp_path, stamp=3)
    third, stamp = reopened(index, tmp_path)
    assert stamp == 3
    assert_alike(again, third, queries)
    third.remove(np.arange(900))  # more than a quarter: the rows move together
    third.save(tmp_path, stamp=4)
    last, stamp = reopened(index, tmp_path)
    assert stamp == 4
    assert_alike(third, last, queries)
    assert len(list(tmp_path.glob("vectors-*.bin"))) == 1


@pytest.mark.parametrize("other", [scan, lists])
def test_codes_of_another_kind_are_not_taken_for_these(space, clustered, tmp_path, other):
    index = graph(space())
    index.add(np.arange(500), clustered(index.space, 500))
    index.save(tmp_path, stamp=1)
    with pytest.raises(IndexDamaged, match=r"codes for hnsw\nExpected: codes for (scan|ivf)"):
        reopened(other(space()), tmp_path)


def test_an_index_from_before_there_were_segments_is_to_be_rebuilt(space, clustered, tmp_path):
    index = scan(space())
    index.add(np.arange(50), clustered(index.space, 50))
    index.save(tmp_path, stamp=1)
    body = json.loads((tmp_path / "manifest.json").read_bytes())["body"]
    manifest.write_manifest(tmp_path / "manifest.json", {**body, "segments": None})
    with pytest.raises(IndexDamaged, match="of an older form"):
        reopened(index, tmp_path)


def test_multi_vector_items_are_saved(space, tmp_path):
    here = space("maxsim", dim=8)
    rng = np.random.default_rng(0)

    def items(count):
        rows = rng.standard_normal((3 * count, 8)).astype(np.float32)
        return Vectors(rows, here, np.arange(count) * 3)

    index = ExactIndex(here)
    index.add(np.arange(40), items(40))
    index.save(tmp_path, stamp=1)
    index.add(np.arange(35, 60), items(25))
    index.save(tmp_path, stamp=2)
    again, _ = ExactIndex.load(tmp_path, here)
    again.add(np.arange(60, 70), items(10))
    index.add(np.arange(60, 70), Vectors(again._store.rows.tail, here, np.arange(10) * 3))
    assert_alike(index, again, items(4))


def test_adding_one_row_to_a_big_index_writes_one_row(space, clustered, tmp_path):
    index = scan(space())
    index.add(np.arange(5000), clustered(index.space, 5000))
    index.save(tmp_path, stamp=1)
    before = {path.name: path.stat() for path in tmp_path.iterdir()}
    index.add(np.array([9000]), clustered(index.space, 1, seed=1))
    index.save(tmp_path, stamp=2)
    after = {path.name: path.stat() for path in tmp_path.iterdir()}
    assert after.keys() == before.keys()
    grown = {n: after[n].st_size - before[n].st_size for n in after if n != "manifest.json"}
    assert grown == {"segment-1-0.bin": 0, "ids-1.bin": 8, "vectors-1.bin": 24 * 4}
    assert all(after[n].st_ino == before[n].st_ino for n in grown)
    assert after["segment-1-0.bin"].st_mtime_ns == before["segment-1-0.bin"].st_mtime_ns
    assert reopened(index, tmp_path)[0].is_approximate


@pytest.mark.parametrize(("rows", "size"), [("float16", 48), ("int8", 28), ("binary", 7)])
def test_rows_of_smaller_types_take_less_room_and_come_back_the_same(space, clustered, tmp_path, rows, size):
    settings = ScanSettings(rows=rows)
    index = ScanIndex(space(), settings)
    index.add(np.arange(500), clustered(index.space, 500))
    index.save(tmp_path, stamp=1)
    assert (tmp_path / "vectors-1.bin").stat().st_size == 500 * size
    again, _ = ScanIndex.load(tmp_path, index.space, settings)
    assert_alike(index, again, clustered(index.space, 5, seed=1))
    with pytest.raises(IndexDamaged, match=f"rows in {rows}"):
        ScanIndex.load(tmp_path, index.space)


def test_what_a_save_that_was_cut_short_left_behind_does_not_count(space, clustered, tmp_path):
    index = scan(space())
    data = clustered(index.space, 600)
    index.add(np.arange(500), data.take(np.arange(500)))
    index.save(tmp_path, stamp=1)
    former = (tmp_path / "manifest.json").read_bytes()
    index.add(np.arange(500, 600), data.take(np.arange(500, 600)))
    index.save(tmp_path, stamp=2)
    (tmp_path / "manifest.json").write_bytes(former)  # as if the manifest had not been reached
    again, stamp = reopened(index, tmp_path)
    assert (stamp, len(again)) == (1, 500)
    again.add(np.array([777]), data.take([599]))
    again.save(tmp_path, stamp=3)
    last, stamp = reopened(index, tmp_path)
    assert (stamp, len(last)) == (3, 501)
    assert int(last.search(data.take([599]), k=1)[0].ids[0]) == 777


def test_an_index_that_lost_sight_of_its_folder_writes_everything(space, clustered, tmp_path):
    one, other = exact(space()), exact(space())
    data = clustered(one.space, 300)
    one.add(np.arange(200), data.take(np.arange(200)))
    one.save(tmp_path, stamp=1)
    other.add(np.arange(200, 300), data.take(np.arange(200, 300)))
    other.save(tmp_path, stamp=2)
    one.add(np.array([999]), data.take([0]))
    one.save(tmp_path, stamp=3)
    assert_alike(one, reopened(one, tmp_path)[0], data.take([1, 2]))


def saved_scan(space, clustered, folder):
    index = scan(space())
    index.add(np.arange(500), clustered(index.space, 500))
    index.add(np.arange(1000, 1050), clustered(index.space, 50, seed=1))  # in no segment yet
    index.remove(np.array([3, 1003]))
    index.save(folder, stamp=1)
    return index


HARMS = ("missing", "truncated", "empty", "changed", "last byte")


def harmed(folder, kind, harm):
    (path,) = folder.glob(f"{kind}*")
    content = path.read_bytes()
    path.unlink()
    at = len(content) - 1 if harm == "last byte" else len(content) // 2
    changed = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    if harm != "missing":
        path.write_bytes({"truncated": content[:-1], "empty": b""}.get(harm, changed))
    return path


@pytest.mark.parametrize("kind", ["ids", "vectors", "gone-1.", "manifest"])
@pytest.mark.parametrize("harm", HARMS)
def test_harm_to_any_file_is_noticed(space, clustered, tmp_path, kind, harm):
    index = saved_scan(space, clustered, tmp_path)
    path = harmed(tmp_path, kind, harm)
    with pytest.raises(IndexDamaged, match=path.name) as caught:
        reopened(index, tmp_path)
    assert "rebuild it from the collection" in caught.value.hint
    assert caught.value.expected


def test_another_space_or_version_is_refused(space, clustered, tmp_path):
    saved_scan(space, clustered, tmp_path)
    with pytest.raises(IndexDamaged, match="vectors of the space toy-cosine-2") as caught:
        ScanIndex.load(tmp_path, space(name="other"))
    assert "other" in caught.value.expected
    body = json.loads((tmp_path / "manifest.json").read_bytes())["body"]
    manifest.write_manifest(tmp_path / "manifest.json", {**body, "version": 99})
    with pytest.raises(IndexDamaged, match="format version 99"):
        ScanIndex.load(tmp_path, space())
    with pytest.raises(IndexDamaged, match="missing"):
        ExactIndex.load(tmp_path / "nowhere", space())


def test_checksums_of_blocks_follow_what_is_appended(tmp_path):
    rng = np.random.default_rng(0)
    parts = [rng.bytes(n) for n in (0, 10, manifest.BLOCK - 10, 1, 3 * manifest.BLOCK, 5)]
    path, length, sums = tmp_path / "file.bin", 0, []
    for part in parts:
        length, sums = manifest.append(path, length, sums, parts=[memoryview(part)])
        assert sums == manifest.checksums(path)
    whole = b"".join(parts)
    blocks = [whole[at : at + manifest.BLOCK] for at in range(0, len(whole), manifest.BLOCK)]
    assert sums == [zlib.crc32(block) for block in blocks]
    manifest.check_files(tmp_path, {"file.bin": (length, sums)}, whole=True)


def test_a_large_folder_is_checked_at_its_ends_and_in_samples(tmp_path):
    blocks = manifest.CHECKED_BYTES // manifest.BLOCK + 40
    path = tmp_path / "big.bin"
    with path.open("wb") as file:
        file.truncate(blocks * manifest.BLOCK)
    sums = [zlib.crc32(bytes(manifest.BLOCK))] * blocks
    entry = {"big.bin": (blocks * manifest.BLOCK, sums)}
    manifest.check_files(tmp_path, entry)
    with path.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"x")
    with pytest.raises(IndexDamaged, match="do not match"):
        manifest.check_files(tmp_path, entry)
    with path.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\0")
        file.seek(manifest.BLOCK)  # the second block: between two samples
        file.write(b"x")
    manifest.check_files(tmp_path, entry)
    with pytest.raises(IndexDamaged, match="from 1048576 on"):
        manifest.check_files(tmp_path, entry, whole=True)


SAVING = textwrap.dedent("""
    import sys, numpy as np
    from pathlib import Path
    from gnomon.core.space import Space
    from gnomon.core.vectors import Vectors
    from gnomon.index.scan import ScanIndex, ScanSettings
    space = Space("toy-cosine-24".ljust(64, "0"), 24, "cosine", "float", "toy")
    index = ScanIndex(space, ScanSettings(exact_below=100, min_recall=0.0))
    rng = np.random.default_rng(0)
    for stamp in range(1, 100_000):
        index.add(np.arange(stamp * 50, stamp * 50 + 50), Vectors(rng.standard_normal((50, 24)), space))
        index.remove(np.array([stamp * 50]))
        index.save(Path(sys.argv[1]), stamp=stamp)
        print(stamp, flush=True)
""")


@pytest.mark.slow
def test_killed_at_any_moment_the_last_acknowledged_save_is_there(space, tmp_path):
    rng = np.random.default_rng()
    for _ in range(4):
        folder = tmp_path / str(rng.integers(1 << 40))
        with subprocess.Popen([sys.executable, "-c", SAVING, folder], stdout=subprocess.PIPE) as process:
            lines = [process.stdout.readline() for _ in range(int(rng.integers(1, 25)))]
            process.kill()
            lines += process.stdout.read().splitlines()
        acknowledged = int([line for line in lines if line.strip()][-1])
        index, stamp = ScanIndex.load(folder, space(), SCAN)
        assert acknowledged <= stamp <= acknowledged + 1
        assert len(index) == stamp * 49


FULL = textwrap.dedent("""
    import resource, sys, numpy as np
    from pathlib import Path
    from gnomon.core.errors import StorageError
    from gnomon.core.space import Space
    from gnomon.core.vectors import Vectors
    from gnomon.index.exact import ExactIndex
    space = Space("toy-cosine-24".ljust(64, "0"), 24, "cosine", "float", "toy")
    index, folder = ExactIndex(space), Path(sys.argv[1])
    rows = np.random.default_rng(0).standard_normal((5000, 24))
    index.add(np.arange(100), Vectors(rows[:100], space))
    index.save(folder, stamp=1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
    index.add(np.arange(5000), Vectors(rows, space))
    try:
        index.save(folder, stamp=2)
    except StorageError as error:
        print(error)
    print(ExactIndex.load(folder, space)[1], len(ExactIndex.load(folder, space)[0]))
""")


@pytest.mark.skipif(sys.platform == "win32", reason="limits on file size are POSIX")
def test_a_disk_that_takes_no_more_leaves_the_former_save(tmp_path):
    done = subprocess.run([sys.executable, "-c", FULL, tmp_path], capture_output=True, text=True, check=True)
    assert "cannot be written: File too large" in done.stdout
    assert "nothing that was saved before is lost" in done.stdout
    assert done.stdout.splitlines()[-1] == "1 100"


def test_loading_goes_on_while_another_process_saves(space, tmp_path):
    folder, seen = tmp_path / "shared", []
    with subprocess.Popen([sys.executable, "-c", SAVING, folder], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        for _ in range(60):
            content, _, stamp = load(folder, space(), StoredForm())
            assert content.rows.count == stamp * 49
            seen.append(stamp)
        process.kill()
        process.stdout.read()
    assert seen == sorted(seen)
