"""How an encoder counts tokens, as a value: another process counts alike without loading the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gnomon.core.errors import InvalidInput

CountTokens = Callable[[Sequence[str]], list[int]]


@dataclass(frozen=True)
class TokenCounting:
    """A tokenizer in the `tokenizers` library's JSON, and what the encoder adds to each text and leaves out.

    `prompt` stands before every text; `special_tokens`: those of the tokenizer count; `without`: an id that does
    not count, such as that of unknown tokens for a static model; `added`: a number of tokens on top.
    """

    tokenizer_json: str
    prompt: str = ""
    special_tokens: bool = True
    without: int | None = None
    added: int = 0

    def counter(self, tokenizer: Any = None) -> CountTokens:
        """A function that counts the tokens of texts, by this tokenizer or one made from the JSON.

        Raises InvalidInput for JSON that is no tokenizer.
        """
        tokenizer = tokenizer or load_tokenizer_json(self.tokenizer_json)

        def count(texts: Sequence[str]) -> list[int]:
            whole = [self.prompt + text for text in texts] if self.prompt else list(texts)
            encoded = tokenizer.encode_batch_fast(whole, add_special_tokens=self.special_tokens)
            lengths = [len(each) + self.added for each in encoded]
            if self.without is None:
                return lengths
            return [length - each.ids.count(self.without) for length, each in zip(lengths, encoded, strict=True)]

        return count


def load_tokenizer_json(tokenizer_json: str) -> Any:
    """The tokenizer, which neither truncates nor pads. Raises InvalidInput for JSON that is none."""
    from tokenizers import Tokenizer

    try:
        tokenizer: Any = Tokenizer.from_str(tokenizer_json)
    except Exception as error:
        raise InvalidInput(
            f"a tokenizer that cannot be read: {error}",
            expected="the text of a tokenizer.json as the `tokenizers` library writes it",
            hint="pass the encoder's tokenizer_json",
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
