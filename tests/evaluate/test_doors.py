"""The names of the room, as a user reaches them."""

import subprocess
import sys

import gnomon
from gnomon.evaluate import Run


def test_a_verdict_from_import_gnomon_alone():
    relevant = {f"q{n}": {f"d{n}": 1} for n in range(20)}
    good = Run("good", {query: dict.fromkeys(found, 1.0) for query, found in relevant.items()})
    bad = Run("bad", {q: {"d0": 1.0} for q in relevant})
    verdict = gnomon.evaluate.compare(bad, good, relevant, metric="nDCG@10", margin=0.01)
    assert isinstance(verdict, gnomon.evaluate.Verdict)
    assert (verdict.outcome, verdict.wins, verdict.ties) == ("better", 19, 1)


def test_every_name_is_there_and_none_hides_behind_a_file():
    code = (
        "import gnomon, importlib, pkgutil, types\n"
        "room = gnomon.evaluate\n"
        "for file in pkgutil.iter_modules(room.__path__):\n"
        "    importlib.import_module(f'gnomon.evaluate.{file.name}')\n"
        "print([name for name in room.__all__ if isinstance(getattr(room, name), types.ModuleType)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_room_alone_loads_nothing_heavy():
    heavy = {"numpy", "ir_measures", "scipy", "matplotlib"}
    code = f"import gnomon.evaluate, sys; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
