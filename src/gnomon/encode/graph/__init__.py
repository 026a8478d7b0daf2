"""Encoder graphs built from weights with OpenVINO's op set, no torch. Import lazily: this loads openvino.

OpenVINO's Python package reports each import to an analytics service on the internet, by a forked process that it
waits up to three seconds for. It leaves that out where its telemetry package cannot be imported, as it is made here.
"""

import importlib
import sys


def _import_without_telemetry() -> None:
    reports = "openvino_telemetry"
    if "openvino" in sys.modules or reports in sys.modules:
        return
    sys.modules[reports] = None  # type: ignore[assignment]
    try:
        importlib.import_module("openvino")
    finally:
        del sys.modules[reports]


_import_without_telemetry()
