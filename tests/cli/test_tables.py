import json

import pytest

from gnomon.cli.main import run

ORDERS = "customer,city,total\nMeier,Berlin,120.5\nRossi,Rome,700\n"


@pytest.fixture
def orders(tmp_path):
    path = tmp_path / "orders.csv"
    path.write_text(ORDERS)
    return path


def test_add_list_and_remove(kb, orders, capsys):
    assert run(["tables", "add", str(kb), str(orders)]) == 0
    said = capsys.readouterr().out
    assert "customer (text), city (text), total (real)" in said
    assert "2, cited as orders#NUMBER" in said
    assert said.endswith(f'ask {kb} "your question"\n')
    assert run(["tables", "list", str(kb)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("orders  2 rows, 3 columns, csv ")
    assert run(["tables", "remove", str(kb), "orders"]) == 0
    assert capsys.readouterr().out == "orders is removed; its file stays as it is\n"
    assert orders.read_text() == ORDERS
    assert run(["tables", "list", str(kb)]) == 0
    assert capsys.readouterr().out.startswith("No tables.\n")


def test_as_json(kb, orders, capsys):
    assert run(["tables", "add", str(kb), str(orders), "--name", "sales", "--json"]) == 0
    added = json.loads(capsys.readouterr().out)["added"]
    assert (added["name"], added["rows"], added["kind"]) == ("sales", 2, "csv")
    assert added["columns"][2] == {"name": "total", "kind": "real"}
    orders.unlink()
    assert run(["tables", "list", str(kb), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["tables"]
    assert [table["name"] for table in listed] == ["sales"]
    assert "is gone or out of reach" in listed[0]["state"]
    assert run(["tables", "remove", str(kb), "sales", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"removed": "sales"}


def test_a_file_that_is_gone_is_seen_in_the_list(kb, orders, capsys):
    run(["tables", "add", str(kb), str(orders)])
    orders.unlink()
    capsys.readouterr()
    assert run(["tables", "list", str(kb)]) == 0
    assert "is gone or out of reach" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "came"),
    [
        (["add", "kb"], "Missing argument 'FILE'"),
        (["drop", "kb", "orders"], "No such command 'drop'"),
        (["list", "kb", "--name", "x"], "No such option: --name"),
        (["remove", "kb", "orders"], "no table 'orders' is registered"),
        (["add", "kb", "nothing.csv"], "there is no file"),
    ],
)
def test_what_it_does_not_take(kb, capsys, monkeypatch, arguments, came):
    monkeypatch.chdir(kb.parent)
    assert run(["tables", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error     {came}")
    assert "hint" in err
