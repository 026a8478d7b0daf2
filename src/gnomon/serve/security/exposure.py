"""Beyond this machine a server demands API keys."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from gnomon.core.errors import InvalidInput
from gnomon.serve.security.keys import KeyFile


def is_exposed(host: str) -> bool:
    """Whether others than this machine can reach what listens on the host; so for every name but localhost."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return False
    try:
        return not ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return True


def check_keys(host: str, keys: Path | None) -> None:
    """Raises InvalidInput where a server on this host needs keys, or is given a file, and there is not one good key.

    What `KeyFile.read` raises is raised as well.
    """
    if keys is None:
        if is_exposed(host):
            raise InvalidInput(
                f"--host {host} can be reached from other machines, and no API keys are in force",
                expected="a file of API keys, or a host of this machine alone such as 127.0.0.1",
                hint="make a key with gnomon keys create NAME, then start it again",
            )
        return
    if all(key.expired for key in KeyFile(keys).read()):
        raise InvalidInput(
            f"no API key that is still good in {keys}",
            expected="one at least",
            hint=f"gnomon keys create NAME --file {keys}",
        )
