"""A transformers network that gives token vectors: from a folder, the hub, or new with random weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gnomon.core.errors import InvalidInput, ModelUnsupported
from gnomon.encode.hub.locate import locate
from gnomon.encode.layout.backbone import position_count, read_max_tokens
from gnomon.encode.layout.files import read_json
from gnomon.encode.layout.modules import list_modules
from gnomon.train.models.attention import register_attention
from gnomon.train.models.tokenizer import ModelTokenizer, open_tokenizer


def pad_ids(
    rows: Sequence[Tensor], fill: int, device: torch.device, *, at_least: int = 0
) -> tuple[Tensor, Tensor | None]:
    """Ids [rows, longest] and a boolean mask of the real ones; None where no row was padded.

    Without a mask attention takes its fastest path. Raises InvalidInput for no rows.
    """
    if not rows:
        raise InvalidInput("no texts to embed", expected="at least one")
    lengths = [len(row) for row in rows]
    longest = max(*lengths, at_least) if at_least else max(lengths)
    if min(lengths) == longest:
        return torch.stack(tuple(rows)).to(device, non_blocking=True), None
    ids = torch.full((len(rows), longest), fill, dtype=torch.long)
    for at, row in enumerate(rows):
        ids[at, : len(row)] = row
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    return ids.to(device, non_blocking=True), mask.to(device, non_blocking=True)


# Dropout after embeddings, attention's output and the wide layer; and of the attention weights themselves.
_HIDDEN_DROPOUT = ("hidden_dropout_prob", "dropout", "embedding_dropout", "mlp_dropout", "dropout_rate")
_ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")


@dataclass(frozen=True)
class BackboneSettings:
    """How a network is trained; none of it changes what it gives in eval().

    `dropout` and `attention_dropout` None: as the model's config says. On a CPU attention without dropout
    takes a much faster path. `checkpointing` computes layers again in the backward pass, to hold less.
    Raises InvalidInput for a dropout out of range.
    """

    dropout: float | None = None
    attention_dropout: float | None = None
    checkpointing: bool = False

    def __post_init__(self) -> None:
        for name in ("dropout", "attention_dropout"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise InvalidInput(f"{name} = {value}", expected="at least 0 and less than 1")


@dataclass(frozen=True)
class NewBackbone:
    """A network that is not trained yet: its family and size. `wide` 0 is four times `hidden`.

    `max_tokens` is its number of positions, of which some families leave one or two unused. `more` goes into
    the config as it is. `seed` decides the weights.
    """

    model_type: str = "bert"
    hidden: int = 384
    layers: int = 6
    heads: int = 12
    wide: int = 0
    max_tokens: int = 512
    seed: int = 0
    more: dict[str, Any] = field(default_factory=dict)


class TrainableBackbone(nn.Module):  # type: ignore[misc]
    """A network with its tokenizer. Raises ModelUnsupported for a network that says no dimensions."""

    def __init__(self, network: Any, tokenizer: ModelTokenizer) -> None:
        super().__init__()
        config = network.config
        self.network, self.tokenizer = network, tokenizer
        self.dim, self.layers = int(config.hidden_size), int(config.num_hidden_layers)
        self.pad_id = tokenizer.special_id("pad_token") or int(getattr(config, "pad_token_id", 0) or 0)
        # Their output is not used: without a gradient, they would stop training on several machines.
        if getattr(network, "pooler", None) is not None:
            network.pooler.requires_grad_(False)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    def embed(self, rows: Sequence[Tensor], layers: Sequence[int] = (-1,)) -> tuple[list[Tensor], Tensor | None]:
        """Token vectors [texts, longest, dim] of each layer asked for, and the mask; None: nothing padded.

        A layer counts as Python does among the layers, embeddings not included. Raises InvalidInput for one
        that is not there.
        """
        ids, mask = pad_ids(rows, self.pad_id, self.device)
        return self.run(ids, mask, layers), mask

    def run(self, ids: Tensor, mask: Tensor | None, layers: Sequence[int] = (-1,)) -> list[Tensor]:
        """As `embed`, of ids that are a rectangle already."""
        at = [self._layer(layer) for layer in layers]
        inner = any(one != self.layers - 1 for one in at)
        out = self.network(input_ids=ids, attention_mask=mask, output_hidden_states=inner, return_dict=True)
        last = out.last_hidden_state
        return [last if one == self.layers - 1 else out.hidden_states[one + 1] for one in at]

    def save(self, folder: Path) -> None:
        """Write config.json, model.safetensors and the tokenizer."""
        with quiet_transformers():
            self.network.save_pretrained(folder)
        self.tokenizer.save(folder)

    def _layer(self, layer: int) -> int:
        if not -self.layers <= layer < self.layers:
            raise InvalidInput(
                f"layer {layer} of a backbone of {self.layers}",
                expected=f"{-self.layers} to {self.layers - 1}",
            )
        return layer % self.layers


def open_backbone(
    name: str | Path, *, settings: BackboneSettings | None = None, max_tokens: int | None = None
) -> TrainableBackbone:
    """The network of a folder, a hub id or a short name, without the modules around it.

    `max_tokens` None: what the model says. Raises ModelNotFound, and ModelUnsupported for weights that are
    not in safetensors, for a missing tokenizer, and for weights that do not fill the network.
    """
    base = base_folder(locate(name).folder)
    tokenizer = open_tokenizer(base, max_tokens=text_limit(base, max_tokens))
    return TrainableBackbone(open_network(base, settings or BackboneSettings(), "AutoModel"), tokenizer)


MASKED_LANGUAGE = "AutoModelForMaskedLM"


def open_masked_language(
    name: str | Path, *, settings: BackboneSettings | None = None, max_tokens: int | None = None
) -> TrainableBackbone:
    """As `open_backbone`, with the masked-language head; ModelUnsupported for weights without one."""
    base = base_folder(locate(name).folder)
    tokenizer = open_tokenizer(base, max_tokens=text_limit(base, max_tokens))
    return TrainableBackbone(open_network(base, settings or BackboneSettings(), MASKED_LANGUAGE), tokenizer)


def new_backbone(
    new: NewBackbone, tokenizer: ModelTokenizer, *, settings: BackboneSettings | None = None
) -> TrainableBackbone:
    """A network of random weights for this tokenizer.

    Raises InvalidInput for a family that transformers does not know, or sizes that do not fit it.
    """
    return TrainableBackbone(*new_network(new, tokenizer, settings or BackboneSettings(), head="AutoModel"))


def new_network(
    new: NewBackbone, tokenizer: ModelTokenizer, settings: BackboneSettings, *, head: str, **more: Any
) -> tuple[Any, ModelTokenizer]:
    """As `new_backbone`, with the class that gives the network; and the tokenizer, cut to its positions."""
    import transformers

    sizes = {
        "vocab_size": tokenizer.vocabulary,
        "hidden_size": new.hidden,
        "num_hidden_layers": new.layers,
        "num_attention_heads": new.heads,
        "intermediate_size": new.wide or 4 * new.hidden,
        "max_position_embeddings": new.max_tokens,
        "pad_token_id": tokenizer.special_id("pad_token"),
        **new.more,
        **more,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(new.seed)
        try:
            config = transformers.AutoConfig.for_model(new.model_type, **sizes)
            _set_dropout(config, settings)
            network = getattr(transformers, head).from_config(config)
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidInput(
                f"a new {new.model_type!r} backbone: {error}",
                expected="a family that transformers knows, and a hidden size that its heads divide",
                hint="for example model_type 'bert', hidden 384, layers 6, heads 12",
            ) from error
    room = position_count(new.model_type, config.to_dict()) or new.max_tokens
    if tokenizer.max_tokens > room:
        tokenizer = tokenizer.with_limit(room)
    return _prepared(network, settings), tokenizer


def base_folder(folder: Path) -> Path:
    """Where weights, config and tokenizer are: the first module that modules.json names, or the folder."""
    entries = list_modules(folder)
    return entries[0].folder if entries else folder


def open_network(base: Path, settings: BackboneSettings, head: str, **more: Any) -> Any:
    """A network of transformers: `head` names the class that gives it, `more` goes into its config.

    Raises ModelUnsupported for pickled weights, and for weights that leave more than a head empty.
    """
    import transformers

    if not any((base / name).is_file() for name in ("model.safetensors", "model.safetensors.index.json")):
        raise ModelUnsupported(
            f"{base} has no weights in safetensors",
            expected="model.safetensors: a pickle runs code when it is loaded",
            hint="load and save the model once with transformers, which writes safetensors",
        )
    with quiet_transformers():
        config = transformers.AutoConfig.from_pretrained(base, local_files_only=True, **more)
        _set_dropout(config, settings)
        network, found = getattr(transformers, head).from_pretrained(
            base,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    heads = ("pooler", "classifier", "pre_classifier", "score", "head")
    missing = sorted(key for key in found["missing_keys"] if not any(part in heads for part in key.split(".")))
    if missing:
        raise ModelUnsupported(
            f"{base} lacks {len(missing)} of the tensors of its network, as {missing[0]}",
            expected=f"the weights of a {config.model_type}",
            hint="fetch the model again, or choose another",
        )
    if any("pooler" in key for key in found["missing_keys"]) and head == "AutoModel":
        network.pooler = None
    return _prepared(network, settings)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' progress bars and reports while the block runs."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def text_limit(base: Path, wanted: int | None) -> int:
    """The longest text to read: `wanted`, or what the model's files name.

    Raises InvalidInput for more than the network has positions for, ModelUnsupported where nothing names it.
    """
    config = read_json(base / "config.json")
    family = str(config.get("model_type", ""))
    if wanted is None:
        return read_max_tokens(base, family, config, card=None)
    room = position_count(family, config)
    if room is not None and wanted > room:
        raise InvalidInput(
            f"max_tokens = {wanted} for {base.name}",
            expected=f"at most {room}, for which it has positions",
        )
    return wanted


def _set_dropout(config: Any, settings: BackboneSettings) -> None:
    for names, value in (
        (_HIDDEN_DROPOUT, settings.dropout),
        (_ATTENTION_DROPOUT, settings.attention_dropout),
    ):
        for name in names:
            if value is not None and isinstance(getattr(config, name, None), float | int):
                setattr(config, name, value)


def _prepared(network: Any, settings: BackboneSettings) -> Any:
    if network.config.is_encoder_decoder:
        raise ModelUnsupported(
            f"a {network.config.model_type}, which has an encoder and a decoder",
            expected="one network that gives token vectors",
            hint="choose another backbone",
        )
    # Families with an attention of their own do not take another, and say so by another than sdpa.
    if network.config._attn_implementation == "sdpa":  # noqa: SLF001
        network.set_attn_implementation(register_attention())
    if settings.checkpointing:
        # transformers 5.23 renames it, and warns of the old name.
        start = getattr(network, "activation_checkpointing_enable", network.gradient_checkpointing_enable)
        start({"use_reentrant": False})
    return network
