"""A scripted language model behind a real endpoint."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.endpoint_server import EndpointServer, endpoint_server


@pytest.fixture
def server() -> Iterator[EndpointServer]:
    """A server of the OpenAI chat protocol on loopback; set its `script`."""
    with endpoint_server() as running:
        yield running
        assert not running.faults, running.faults[0]
