"""API keys: made once, kept as hashes, in force and ended at once."""

import json
import os
import threading
from pathlib import Path

import pytest

from gnomon.cli.main import run
from gnomon.core.errors import InvalidInput, StorageError
from gnomon.serve.security.keys import PREFIX, KeyFile


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "config" / "keys.json")


def test_a_key_is_found_by_its_token_alone(keys: KeyFile) -> None:
    key, token = keys.create("laptop", scope="admin", collections=["kb"])
    assert token.startswith(PREFIX)
    assert len(token) > 40
    assert keys.find(token) == key
    assert keys.find(token[:-1]) is None
    assert keys.find("") is None
    assert keys.find(key.sha256) is None


def test_the_file_holds_no_token_and_is_its_owners_alone(keys: KeyFile) -> None:
    _, token = keys.create("laptop")
    assert token not in keys.path.read_text()
    assert keys.path.stat().st_mode & 0o777 == 0o600
    assert keys.path.parent.stat().st_mode & 0o777 == 0o700


def test_another_process_sees_changes_at_once(keys: KeyFile) -> None:
    serving = KeyFile(keys.path)
    assert serving.read() == ()
    _, token = keys.create("laptop")
    assert serving.find(token) is not None
    keys.revoke("laptop")
    assert serving.find(token) is None


def test_a_key_ends_when_its_time_is_over(keys: KeyFile) -> None:
    short, _ = keys.create("short", days=1e-9)
    long, _ = keys.create("long", days=90)
    assert short.expired
    assert not long.expired


def test_keys_made_at_the_same_time_are_all_kept(keys: KeyFile) -> None:
    threads = [threading.Thread(target=KeyFile(keys.path).create, args=(f"key{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys.read()) == 8


@pytest.mark.parametrize("name", ["", "two words", "line\nbreak", "x" * 65, "../up"])
def test_a_name_that_could_forge_a_log_line_is_refused(keys: KeyFile, name: str) -> None:
    with pytest.raises(InvalidInput, match="a key named"):
        keys.create(name)


def test_a_name_is_taken_once(keys: KeyFile) -> None:
    keys.create("laptop")
    with pytest.raises(InvalidInput, match="already") as caught:
        keys.create("laptop")
    assert caught.value.hint.endswith("gnomon keys revoke laptop")
    with pytest.raises(InvalidInput, match="no key named 'other'"):
        keys.revoke("other")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() < 0, reason="needs file modes")
def test_a_file_that_others_may_write_to_is_refused(keys: KeyFile) -> None:
    _, token = keys.create("laptop")
    keys.path.chmod(0o666)
    with pytest.raises(StorageError, match="can be written by others"):
        KeyFile(keys.path).find(token)


@pytest.mark.parametrize("content", ["{", "[]", '{"keys": [{"name": "x"}]}', '{"keys": [], "format": "x"}'])
def test_a_file_of_something_else_is_refused(keys: KeyFile, content: str) -> None:
    keys.create("laptop")
    keys.path.write_text(content)
    with pytest.raises(InvalidInput):
        keys.read()


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert run(["keys", "create", "site", "--collection", "kb", "--days", "30", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert run(["keys", "create", "ops", "--scope", "admin"]) == 0
    token = capsys.readouterr().out.strip()
    found = KeyFile(tmp_path / "gnomon" / "keys.json")
    assert [found.find(text).name for text in (made["key"], token)] == ["site", "ops"]  # type: ignore[union-attr]
    assert run(["keys", "list"]) == 0
    listed = capsys.readouterr().out
    assert "site" in listed
    assert token not in listed
    assert run(["keys", "revoke", "ops"]) == 0
    assert run(["keys", "list", "--json"]) == 0
    assert [key["name"] for key in json.loads(capsys.readouterr().out.split("\n", 1)[1])["keys"]] == ["site"]
    assert run(["keys", "revoke", "ops"]) == 2
