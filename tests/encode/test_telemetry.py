"""Loading a model reports nothing to anyone."""

import subprocess
import sys

CODE = """
import os, sys
os.environ.pop("CI", None)  # where it is set, the telemetry is silent anyway
os.register_at_fork(before=lambda: print("forked"))
import gnomon.encode.graph
import openvino
print("telemetry" if any(name.startswith("openvino_telemetry") for name in sys.modules) else "none", openvino.Core)
"""


def test_openvino_is_loaded_without_its_telemetry() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.startswith("none"), done.stdout
