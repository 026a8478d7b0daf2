"""SPLADE: a weight for each token of the vocabulary, by a masked-language head."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from gnomon.core.contracts import Role
from gnomon.core.errors import InvalidInput, ModelUnsupported
from gnomon.core.space import Similarity
from gnomon.encode.layout.sparse import SparseLayout
from gnomon.train.contracts import Features, Kind, Reps
from gnomon.train.models.backbone import TrainableBackbone, pad_ids
from gnomon.train.models.layers import score_matrix
from gnomon.train.models.save import ModuleWriter, replacing_model, transformer_config, write_json, write_sentence_model
from gnomon.train.models.towers import ModelPrompts


class TrainableSparseEncoder(nn.Module):  # type: ignore[misc]
    """An `Embedder`: log(1 + relu(logits)), the greatest over a text's tokens; one network for both roles.

    Formal et al. 2021, SPLADE v2 (arXiv:2109.10086). `twice` takes the logarithm once more (arXiv:2504.14839).
    """

    kind: Kind = "sparse"
    similarity: Similarity = "dot"

    def __init__(
        self, backbone: TrainableBackbone, *, prompts: ModelPrompts | None = None, twice: bool = False
    ) -> None:
        super().__init__()
        self.backbone, self.prompts, self.twice = backbone, prompts or ModelPrompts(), twice

    @property
    def dim(self) -> int:
        """The size of the vocabulary."""
        return int(self.backbone.network.config.vocab_size)

    def features(self, texts: Sequence[str], role: Role, *, source: str = "") -> Features:
        """The texts tokenised, with the prompt of this role and source."""
        prompt = self.prompts.of(role, source)
        return Features(self.backbone.tokenizer.encode([prompt + text for text in texts] if prompt else texts), role)

    def embed(self, features: Features, *, layers: Sequence[int] = (-1,)) -> list[Reps]:
        """[texts, vocabulary] weights of 0 and more. Raises InvalidInput for another layer than the last."""
        if tuple(layers) != (-1,):
            raise InvalidInput(
                "other layers than the last, with a sparse encoder", expected="the last: its head gives the weights"
            )
        backbone = self.backbone
        ids, mask = pad_ids(features.ids, backbone.pad_id, backbone.device)
        logits = backbone.network(input_ids=ids, attention_mask=mask, return_dict=True).logits
        if mask is not None:
            logits = logits.masked_fill(~mask[:, :, None], -torch.inf)
        # The greatest logit has the greatest weight: the logarithm is taken of one value a text.
        weights = torch.log1p(torch.relu(logits.amax(1).float()))
        return [Reps(torch.log1p(weights) if self.twice else weights)]

    def score(self, queries: Reps, documents: Reps) -> Tensor:
        """[queries, documents] dot products."""
        return score_matrix(queries.values, documents.values, "dot")

    def save(self, folder: Path) -> None:
        """Write sentence-transformers' SparseEncoder: Transformer, SpladePooling."""
        with replacing_model(folder) as made:
            modules = ModuleWriter(made)
            modules.add_backbone(self.backbone.save, transformer_config("fill-mask"))
            pooling = {
                "pooling_strategy": "max",
                "activation_function": "log1p_relu" if self.twice else "relu",
                "embedding_dimension": self.dim,
            }
            write_json(modules.add("SpladePooling") / "config.json", pooling)
            write_sentence_model(
                made, modules, prompts=self.prompts.texts, similarity="dot", model_type="SparseEncoder"
            )


def open_sparse(layout: SparseLayout, backbone: TrainableBackbone, prompts: ModelPrompts) -> TrainableSparseEncoder:
    """The model of a folder. Raises ModelUnsupported for what is served and cannot be trained further."""
    query, document = layout.towers["query"], layout.towers["document"]
    if query != document or document.kind != "splade" or document.pooling != "max" or layout.max_active is not None:
        raise ModelUnsupported(
            f"{layout.name}, a sparse encoder that is not trained further: {query.kind} for queries, "
            f"{document.kind} with {document.pooling} pooling for documents",
            expected="SPLADE with max pooling, one network for both roles",
            hint="start a new sparse encoder from its backbone, a masked-language model",
        )
    return TrainableSparseEncoder(backbone, prompts=prompts, twice=document.activation == "log1p_relu")
