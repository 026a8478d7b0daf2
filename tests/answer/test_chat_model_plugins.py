"""Language models of other packages, by entry point."""

from collections.abc import Generator, Sequence
from importlib.metadata import EntryPoint

import pytest

from gnomon.answer.llm.endpoint import Endpoint, open_chat_model
from gnomon.answer.types import Message
from gnomon.core.errors import InvalidInput
from support.plugins import installed_plugins

GROUP = "gnomon.chat_models"


class Echo:
    """Replies with the last message."""

    def __init__(self, model: str | None) -> None:
        self.name = f"echo {model}"

    def stream(
        self, messages: Sequence[Message], *, max_tokens: int, temperature: float = 0.0
    ) -> Generator[str, None, None]:
        yield messages[-1].content[:max_tokens]


def not_a_model(model: str | None) -> str:
    return f"no model {model}"


def test_a_plugin_is_called_with_the_models_name():
    with installed_plugins(EntryPoint("echo", f"{__name__}:Echo", GROUP)):
        chat = open_chat_model("plugin:echo", "loud")
        assert chat.name == "echo loud"
        assert "".join(chat.stream([Message("user", "hello")], max_tokens=4)) == "hell"
        assert open_chat_model("plugin:Echo").name == "echo None"


def test_what_is_no_chat_model_is_refused():
    with (
        installed_plugins(EntryPoint("text", f"{__name__}:not_a_model", GROUP)),
        pytest.raises(InvalidInput, match="the plug-in 'text' gave a str"),
    ):
        open_chat_model("plugin:text")


def test_a_missing_plugin_names_those_that_are_installed():
    with (
        installed_plugins(EntryPoint("echo", f"{__name__}:Echo", GROUP)),
        pytest.raises(InvalidInput, match=r"(?s)no plug-in 'other'.*one of echo"),
    ):
        open_chat_model("plugin:other")


def test_anything_else_is_an_address():
    pytest.importorskip("openai", reason="an endpoint wants the extra gnomon[answer]")
    chat = open_chat_model("http://localhost:11434", "toy")
    assert isinstance(chat, Endpoint)
    assert (chat.url, chat.name) == ("http://localhost:11434/v1", "toy")
