"""A model's network on torch, up to its last hidden state: what `graph.network` builds, from the same spec."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as f

from gnomon.encode.graph.weights import Weights, prefix_of, require_positions, word_embeddings_of
from gnomon.encode.layout.backbone import BackboneLayout
from gnomon.encode.layout.families import transformer_spec
from gnomon.encode.layout.families.spec import Rotary, TransformerSpec
from gnomon.kernels.relative_positions import deberta_rows, t5_buckets

Tensor = Any  # torch.Tensor; torch has no type information that mypy follows here
Tables = tuple[Tensor, Tensor]


class TorchNetwork:
    """The layers of a `TransformerSpec`, with their tensors on `device` in `dtype`.

    Raises ModelUnsupported for missing tensors and too few position embeddings.
    """

    def __init__(self, layout: BackboneLayout, *, device: torch.device, dtype: torch.dtype) -> None:
        self._spec = transformer_spec(layout.family, layout.config)
        self._names = self._spec.names
        self._weights = Weights(layout.weights)
        prefix = prefix_of(self._weights, self._spec)
        require_positions(layout, self._spec, self._weights, prefix=prefix)
        self._tensors = {
            name.removeprefix(prefix): torch.from_numpy(np.ascontiguousarray(stored.float32())).to(device, dtype)
            for name, stored in self._weights.items()
            if name.startswith(prefix) and stored.dtype in ("F64", "F32", "F16", "BF16")
        }
        self._word_embeddings = word_embeddings_of(self._weights, self._spec).removeprefix(prefix)
        self._longest = layout.max_tokens
        self._by_distance = self._relative_rows(device)

    def hidden(self, ids: Tensor, inside: Tensor) -> Tensor:
        """The last hidden state, [texts, tokens, hidden], of int64 `ids`; `inside` is False where they are padding."""
        spec = self._spec
        positions = torch.arange(ids.shape[1], device=ids.device)
        masks = {window: self._mask(positions, inside, window=window) for window in {*(spec.windows or (None,))}}
        tables = {rotary: _rotary_tables(positions, rotary) for rotary in {*spec.rotary}}
        x = self._embed(ids, positions)
        for layer in range(spec.layers):
            at = self._names.layer.format(spec.layer_groups[layer] if spec.layer_groups else layer)
            mask = masks[spec.windows[layer] if spec.windows else None]
            inner = x if spec.skips_first_norm and layer == 0 else self._norm(x, at, self._names.attention_pre_norm)
            x = x + self._attention(inner, at, mask, tables[spec.rotary[layer]] if spec.rotary else None)
            x = self._norm(x, at, self._names.attention_post_norm)
            x = self._norm(x + self._feed_forward(x, at), at, self._names.feed_forward_post_norm)
        return self._norm(x, "", self._names.final_norm)

    def _embed(self, ids: Tensor, positions: Tensor) -> Tensor:
        spec, names = self._spec, self._names
        x = self._at(self._word_embeddings)[ids]
        if spec.embedding_scale != 1.0:
            stored = self._weights[word_embeddings_of(self._weights, spec)]
            x = x * torch.tensor(stored.rounded(spec.embedding_scale), dtype=x.dtype)
        if spec.position_padding_id is not None:
            real = (ids != spec.position_padding_id).long()
            positions = real.cumsum(1) * real + spec.position_padding_id
        if names.position_embeddings:
            x = x + self._at(names.position_embeddings)[positions]
        if names.token_types:
            x = x + self._at(names.token_types)[0]
        x = self._norm(x, "", names.embeddings_norm)
        return self._linear(x, names.embeddings_projection) if names.embeddings_projection else x

    def _mask(self, positions: Tensor, inside: Tensor, *, window: int | None) -> Tensor | None:
        """Added to attention scores or, boolean, where a token sees another; None where each sees all."""
        spec = self._spec
        # Texts of one length need no mask, and without one the fastest kernels run.
        plain = window is None and not spec.causal and not self._names.relative_bias
        if plain and bool(inside.all()):
            return None
        seen = inside[:, None, None, :]
        ahead = positions[None, :] - positions[:, None]
        if window is not None:
            seen = seen & (ahead >= -window) & (ahead <= window)
        if spec.causal:
            seen = seen & (ahead <= 0)
        if window is not None or spec.causal:
            seen = seen | (ahead == 0)  # padding that saw nothing at all would be NaN
        if not self._names.relative_bias:
            return seen
        bias = self._at(self._names.relative_bias)[self._row_of(ahead)].permute(2, 0, 1)[None]
        return bias.masked_fill(~seen, -torch.inf)

    def _attention(self, x: Tensor, at: str, mask: Tensor | None, tables: Tables | None) -> Tensor:  # noqa: PLR0917
        spec, names = self._spec, self._names
        query, key, value = self._heads(x, at)
        query, key = self._norm(query, at, names.query_norm), self._norm(key, at, names.key_norm)
        if tables is not None:
            query, key = _rotated(query, tables), _rotated(key, tables)
        times = spec.heads // (spec.key_value_heads or spec.heads)
        if times > 1:
            key, value = key.repeat_interleave(times, 1), value.repeat_interleave(times, 1)
        if spec.disentangled is not None:
            scores = self._disentangled(query, key, at)
            mask = scores if mask is None else scores.masked_fill(~mask, -torch.inf)
        scale = spec.attention_scale or None
        attended = f.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)
        out = self._linear(attended.transpose(1, 2).flatten(2), at + names.attended, bias=spec.attended_bias)
        return self._norm(out, at, names.attention_output_norm)

    def _heads(self, x: Tensor, at: str) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, [texts, heads, tokens, head_dim] each."""
        spec, names = self._spec, self._names
        each = spec.key_value_heads or spec.heads
        counts = (spec.heads, each, each)
        if names.qkv:
            joint = self._linear(x, at + names.qkv, bias=spec.qkv_bias)
            width = joint.shape[-1] // sum(counts)
            parts = joint.split([count * width for count in counts], -1)
        else:
            parts = tuple(
                self._linear(x, at + name, bias=spec.qkv_bias) for name in (names.query, names.key, names.value)
            )
        query, key, value = (
            part.unflatten(-1, (count, -1)).transpose(1, 2) for part, count in zip(parts, counts, strict=True)
        )
        return query, key, value

    def _relative_rows(self, device: torch.device) -> Tensor:
        """The row of each distance, from -(longest - 1) on, in the family's table by relative position."""
        distances, by, apart = np.arange(-self._longest + 1, self._longest), self._spec.relative_buckets, None
        if self._names.relative_bias:
            apart = t5_buckets(distances, buckets=by.buckets, farthest=by.farthest)
        elif (deberta := self._spec.disentangled) is not None:
            apart = deberta_rows(distances, buckets=deberta.buckets, farthest=deberta.farthest)
        return None if apart is None else torch.from_numpy(apart).to(device)

    def _row_of(self, distances: Tensor) -> Tensor:
        return self._by_distance[distances + self._longest - 1]

    def _disentangled(self, query: Tensor, key: Tensor, at: str) -> Tensor:
        """DeBERTa's scores of content with position, [texts, heads, tokens, tokens]."""
        by, heads = self._spec.disentangled, self._spec.heads
        if by is None:
            raise TypeError("a family without disentangled attention")
        table = self._norm(self._at(by.embeddings)[: 2 * by.span], "", by.norm)
        positions = torch.arange(query.shape[2], device=query.device)
        rows = self._row_of(positions[:, None] - positions[None, :])

        def products(x: Tensor, layer: str, rows: Tensor) -> Tensor:
            by_head = self._linear(table, at + layer).unflatten(-1, (heads, -1)).permute(1, 2, 0)
            return (x @ by_head).gather(-1, rows.expand(*x.shape[:2], *rows.shape))

        scores = torch.zeros((), dtype=query.dtype, device=query.device)
        if by.content_to_position:
            scores = scores + products(query, by.content_to_position, rows)
        if by.position_to_content:
            scores = scores + products(key, by.position_to_content, rows.T).transpose(2, 3)
        return (scores * self._spec.attention_scale).expand(*query.shape[:3], query.shape[2])

    def _feed_forward(self, x: Tensor, at: str) -> Tensor:
        spec, names = self._spec, self._names
        x = self._norm(x, at, names.feed_forward_pre_norm)
        wide = self._linear(x, at + names.widen, bias=spec.widen_bias)
        if names.gate:
            wide = _activation(spec)(self._linear(x, at + names.gate, bias=spec.widen_bias)) * wide
        elif spec.gated:
            halves = wide.chunk(2, -1)
            gate, wide = halves if spec.gated == "gate first" else halves[::-1]
            wide = _activation(spec)(gate) * wide
        else:
            wide = _activation(spec)(wide)
        return self._norm(
            self._linear(wide, at + names.narrow, bias=spec.narrow_bias), at, names.feed_forward_output_norm
        )

    def _linear(self, x: Tensor, name: str, *, bias: bool = True) -> Tensor:
        return f.linear(x, self._at(f"{name}.weight"), self._at(f"{name}.bias") if bias else None)

    def _norm(self, x: Tensor, at: str, name: str) -> Tensor:
        """The norm of this name, or x where the family has none."""
        spec = self._spec
        if not name:
            return x
        name = at + name
        if spec.norm == "rms":
            scale = self._at(f"{name}.weight").float() + spec.norm_offset
            return f.rms_norm(x.float(), x.shape[-1:], scale, spec.epsilon).to(x.dtype)
        scale, shift = f"{name}.weight", f"{name}.bias"
        if scale not in self._tensors and f"{name}.gamma" in self._tensors:
            scale, shift = f"{name}.gamma", f"{name}.beta"
        return f.layer_norm(x, x.shape[-1:], self._at(scale), self._at(shift) if spec.norm_bias else None, spec.epsilon)

    def _at(self, name: str) -> Tensor:
        if name not in self._tensors:
            self._weights[name]  # raises, as on OpenVINO
        return self._tensors[name]


def _rotary_tables(positions: Tensor, rotary: Rotary) -> Tables:
    """Cosines and sines, float32 [tokens, dims / 2] both."""
    frequencies = torch.tensor(rotary.inverse_frequencies, dtype=torch.float32, device=positions.device)
    angles = positions.float()[:, None] * frequencies
    return angles.cos() * rotary.scale, angles.sin() * rotary.scale


def _rotated(x: Tensor, tables: Tables) -> Tensor:
    """As `graph.layers.rotate`."""
    cosines, sines = tables
    half = cosines.shape[-1]
    first, second, rest = x[..., :half].float(), x[..., half : 2 * half].float(), x[..., 2 * half :]
    turned = [first * cosines - second * sines, second * cosines + first * sines]
    return torch.cat([*(one.to(x.dtype) for one in turned), rest], -1)


def _activation(spec: TransformerSpec) -> Callable[[Tensor], Tensor]:
    kinds: Mapping[str, Callable[[Tensor], Tensor]] = {
        "gelu": f.gelu,
        "gelu_tanh": partial(f.gelu, approximate="tanh"),
        "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
        "relu": f.relu,
        "silu": f.silu,
    }
    return kinds[spec.activation]
