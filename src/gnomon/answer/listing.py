"""Which models an OpenAI-compatible server has."""

from __future__ import annotations

import os

from gnomon.answer.endpoint import base_url, is_loopback
from gnomon.answer.trouble import KEY_VARIABLE
from gnomon.core.errors import GenerationFailed, InvalidInput

TIMEOUT_S = 10.0
_SHOWN = 20


def only_model(url: str) -> str:
    """The name of the one model that the server at an address has: what to ask where none was named.

    Raises InvalidInput where it has several, which are listed, or none; GenerationFailed where it does not
    say.
    """
    names = models(url)
    if len(names) == 1:
        return names[0]
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    raise InvalidInput(
        f"no model is named, and {base_url(url)} has {len(names) or 'none'}",
        wanted=f"the name of one of its models: {shown}" if names else "a server that has a model",
        next_step=f"--llm-model {names[0]}" if names else "load a model first, such as `ollama pull NAME`",
    )


def models(url: str, *, timeout_s: float = TIMEOUT_S) -> tuple[str, ...]:
    """The names of a server's models, as it lists them. The key is the environment's OPENAI_API_KEY."""
    import httpx2

    address = f"{base_url(url)}/models"
    key = os.environ.get(KEY_VARIABLE, "").strip()
    headers = {"Authorization": f"Bearer {key}"} if key.isascii() and key else {}
    try:
        with httpx2.Client(trust_env=not is_loopback(address), timeout=timeout_s) as client:
            told = client.get(address, headers=headers)
            told.raise_for_status()
            rows = told.json()["data"]
            names = [str(row["id"]) for row in rows]
    except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
        raise GenerationFailed(
            f"{address} does not say which models there are: {_cause(error)}",
            wanted="a running OpenAI-compatible server, or the name of its model",
            next_step="start it or check the address, or name the model with --llm-model",
        ) from None
    return tuple("".join(c if c.isprintable() else " " for c in name)[:100] for name in names)


def _cause(error: Exception) -> str:
    import httpx2

    if isinstance(error, httpx2.HTTPStatusError):
        return f"HTTP status {error.response.status_code}"
    return str(error)[:160] if isinstance(error, httpx2.HTTPError) else "its reply is no list of models"
