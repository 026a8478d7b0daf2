"""The examples in the docstrings of kernels run."""

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import gnomon.kernels


def test_examples_in_docstrings_hold() -> None:
    folder = Path(gnomon.kernels.__file__).parent
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--doctest-modules", "-p", "no:cacheprovider", str(folder)],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_kernel_has_an_example() -> None:
    for module in pkgutil.iter_modules(gnomon.kernels.__path__):
        for name, thing in vars(importlib.import_module(f"gnomon.kernels.{module.name}")).items():
            if getattr(thing, "__module__", "") == f"gnomon.kernels.{module.name}" and callable(thing):
                assert name.startswith("_") or ">>>" in (thing.__doc__ or ""), f"{module.name}.{name}"
