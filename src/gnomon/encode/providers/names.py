"""Names of models at providers: "openai:MODEL", and "http://host:port/v1#model" for any server of OpenAI's form."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from pathlib import Path

from gnomon.core.errors import InvalidInput, ModelNotFound
from gnomon.core.files import exists
from gnomon.core.plugins import has_plugin, plugin_names
from gnomon.encode.providers.description import Provider, ProviderSettings
from gnomon.encode.providers.known import ADDRESS, PROVIDERS

_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_PREFIXED = re.compile(r"([A-Za-z][\w.-]+):(.+)", re.DOTALL)


@dataclass(frozen=True)
class Reference:
    """A provider, its model, and the address where the name holds one."""

    provider: Provider
    model: str
    url: str | None = None

    def settings(self, settings: ProviderSettings | None) -> ProviderSettings:
        """The settings with the name's own address."""
        settings = settings or ProviderSettings()
        return settings if self.url is None else replace(settings, url=self.url)


def provider_reference(name: str | Path) -> Reference | None:
    """What a name means at a provider; None for a name of another kind, such as a hub id or a folder.

    Raises InvalidInput for an address without a model, ModelNotFound for an unknown provider.
    """
    if isinstance(name, Path):
        return None
    if _ADDRESS.match(name):
        url, _, model = name.partition("#")
        if not model.strip():
            raise InvalidInput(
                f"the address {url} without a model",
                expected="http://HOST:PORT/v1#MODEL",
                hint=f"add the model's name as the server has it: {url}#MODEL",
            )
        return Reference(ADDRESS, model.strip(), url)
    found = _PREFIXED.fullmatch(name)
    if found is None or exists(Path(name).expanduser()):
        return None
    prefix, model = found[1], found[2].strip()
    if provider := PROVIDERS.get(prefix.casefold()):
        return Reference(provider, model)
    if has_plugin("gnomon.encoders", prefix):
        return None
    raise _unknown(name, prefix, model)


def _unknown(name: str, prefix: str, model: str) -> ModelNotFound:
    known = [*PROVIDERS, *plugin_names("gnomon.encoders")]
    near = difflib.get_close_matches(prefix.casefold(), known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}:{model}?" if near else f"a server of your own: http://HOST:PORT/v1#{model}"
    return ModelNotFound(
        f"{name!r}: there is no provider {prefix!r}, and no installed plug-in of that name",
        expected=f"one of {', '.join(f'{item}:MODEL' for item in known)}, or http://HOST:PORT/v1#MODEL",
        hint=hint,
    )
