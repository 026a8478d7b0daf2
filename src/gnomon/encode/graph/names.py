"""Where an encoder's tensors lie in its file, and whether they suffice: what every runtime asks first."""

from __future__ import annotations

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.backbone import Backbone
from gnomon.encode.graph.recipe import Recipe
from gnomon.encode.graph.weights import Weights

WORDS = "embeddings.word_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"


def prefix_of(weights: Weights) -> str:
    """What stands before every tensor's name, such as "roberta." or nothing.

    Raises ModelUnsupported where the file holds no encoder, or several.
    """
    found = [name.removesuffix(WORDS) for name in weights if name.endswith(WORDS)]
    if len(found) == 1:
        return found[0]
    raise ModelUnsupported(
        f"{weights.file} has {len(found)} tensors named …{WORDS}",
        wanted="one encoder in the file",
        next_step="save the encoder alone, as AutoModel.save_pretrained does",
    )


def require_room(layout: Backbone, recipe: Recipe, weights: Weights, prefix: str) -> None:
    """Raise ModelUnsupported where the positions do not reach to the model's limit."""
    rows = len(weights[prefix + POSITIONS].bits)
    room = rows if recipe.count_from is None else rows - recipe.count_from - 1
    if layout.max_tokens > room:
        raise ModelUnsupported(
            f"{layout.name} is to read {layout.max_tokens} tokens, and has positions for {room}",
            wanted=f"a limit of at most {room} tokens",
            next_step=f"set max_seq_length to {room} in the model's sentence_bert_config.json",
        )
