"""From a model's name to an encoder, or to a scorer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gnomon.core.contracts import Encoder, Reranker, RoleEncoder, with_role_methods
from gnomon.core.errors import InvalidInput, ModelUnsupported
from gnomon.core.plugins import has_plugin, load_plugin
from gnomon.core.progress import ProgressCallback, accepts_say, no_progress
from gnomon.encode.cards import Card, card_for
from gnomon.encode.hub.locate import Located, locate
from gnomon.encode.layout.model import read_layout
from gnomon.encode.layout.modules import Architecture, adapter_folder, architecture_of, scores_pairs
from gnomon.encode.providers.names import Reference, provider_reference
from gnomon.encode.settings import EncoderSettings

if TYPE_CHECKING:
    from gnomon.encode.sparse import SparseEncoder


@accepts_say
def load_encoder(
    name: str | Path,
    *,
    settings: EncoderSettings | None = None,
    prompts: Mapping[str, str] | None = None,
    progress: ProgressCallback = no_progress,
) -> RoleEncoder:
    """The encoder of a model: a short name, a hub id, a folder, or a model at a provider ("openai:MODEL").

    Weights that are not on this machine are fetched. "voyage:", "cohere:", "google:", "mistral:", "jina:" and
    "http://HOST:PORT/v1#MODEL" are models of others' servers: a ProviderEncoder, whose key is the environment's.
    A folder may hold a model of one vector a text (a transformer or a static one), of two towers
    (DualEncoder), or of a vector a token (LateEncoder). "PLUGIN:MODEL" is a model of an installed package that
    declares an entry point PLUGIN in the group `gnomon.encoders`: a function that takes MODEL, `settings` and
    `prompts` and gives an `Encoder`. `prompts` maps "query" and "document" to the text put before each text of
    that role and wins over the model's own. `progress` receives messages of what is tried and downloaded.
    Raises ModelNotFound, WeightsMismatch, ModelUnsupported, MissingPrompt, StorageError, and ProviderFailed for a
    provider that has no key.
    """
    plugin, _, model = str(name).partition(":")
    if not isinstance(name, Path) and card_for(plugin) is None and has_plugin("gnomon.encoders", plugin):
        return _from_plugin(plugin, model, settings=settings, prompts=prompts)
    if (reference := provider_reference(name)) is not None:
        return _from_provider(reference, settings=settings, prompts=prompts)
    located = _located(name, progress=progress)
    settings = settings or EncoderSettings()
    shape = architecture_of(located.folder, carded=located.carded)
    # By its weights, the backbone of a model of another shape may have a card: it is not that model.
    title = located.card.name if located.card and shape == "single" else Path(name).name
    _require_dense(shape, str(name), title, card=located.card)
    if shape == "dual":
        from gnomon.encode.dual import build_dual_encoder
        from gnomon.encode.layout.model import read_towers

        towers = read_towers(located.folder, name=title, prompts=prompts)
        return build_dual_encoder(towers, name=title, settings=settings)
    if shape == "late":
        from gnomon.encode.late_interaction import LateEncoder
        from gnomon.encode.layout.late_interaction import read_late_interaction

        return LateEncoder(read_late_interaction(located.folder, name=title, prompts=prompts), settings)
    layout = read_layout(located.folder, name=title, card=located.card, prompts=prompts)
    if layout.kind == "static":
        from gnomon.encode.static import StaticEncoder

        return StaticEncoder(layout, settings)
    from gnomon.encode.transformer import TransformerEncoder

    return TransformerEncoder(layout, settings)


def _require_dense(shape: Architecture, name: str, title: str, *, card: Card | None) -> None:
    # A causal language model's folder does not say that it reranks.
    if shape == "cross" or (card is not None and card.kind == "cross"):
        raise ModelUnsupported(
            f"{title} is a cross-encoder: it scores a query and a text together and makes no vectors",
            expected="a model that makes vectors",
            hint=f"gnomon.encode.load_scorer({name!r})",
        )
    if shape == "sparse":
        raise ModelUnsupported(
            f"{title} is a sparse encoder: its vectors are weights of a vocabulary's tokens",
            expected="a model of dense vectors",
            hint=f"gnomon.encode.load_sparse_encoder({name!r}); a collection takes it as its sparse model, beside "
            "a dense one",
        )


def _from_provider(
    reference: Reference, *, settings: EncoderSettings | None, prompts: Mapping[str, str] | None
) -> RoleEncoder:
    from gnomon.encode.providers.encoder import ProviderEncoder

    options = reference.settings(None)
    return ProviderEncoder(reference.provider, reference.model, settings=settings, prompts=prompts, options=options)


def _located(name: str | Path, *, progress: ProgressCallback) -> Located:
    """As locate gives it, an adapter in it merged into its base model."""
    located = locate(name, progress=progress)
    if adapter_folder(located.folder) is None:
        return located
    from gnomon.encode.peft import merged_folder

    return replace(located, folder=merged_folder(located.folder, progress=progress))


def _from_plugin(
    plugin: str, model: str, *, settings: EncoderSettings | None, prompts: Mapping[str, str] | None
) -> RoleEncoder:
    encoder = load_plugin("gnomon.encoders", plugin)(model, settings=settings, prompts=prompts)
    if not isinstance(encoder, Encoder):
        raise InvalidInput(
            f"the plug-in {plugin!r} gave a {type(encoder).__name__} for {model!r}",
            expected="an encoder: gnomon.core.contracts.Encoder, which gnomon.testing.check_encoder checks",
            hint="update or uninstall its package",
        )
    return with_role_methods(encoder)


@accepts_say
def load_scorer(
    name: str | Path,
    *,
    settings: EncoderSettings | None = None,
    instruction: str = "",
    progress: ProgressCallback = no_progress,
) -> Reranker:
    """A cross-encoder in a folder or under a hub id, or a reranker of a provider: a Scorer, for `retrieve.Rerank`.

    A causal language model is one by the logits of its tokens "yes" and "no", after a query and a text in a chat
    template (Qwen3-Reranker). `instruction` says to such a model what is relevant; "" is the model's own.
    "cohere:MODEL", "voyage:", "jina:" and "http://HOST:PORT/v1#MODEL" (text-embeddings-inference, vLLM, llama.cpp) are
    rerankers of others' servers: a ProviderScorer. Raises as `load_encoder` does, ModelUnsupported for a model
    that makes vectors, and InvalidInput for an instruction to a model that reads none.
    """
    if (reference := provider_reference(name)) is not None:
        if instruction:
            raise InvalidInput(
                f"an instruction for {name}",
                expected="no instruction: rerankers of others' servers are sent the query and the texts alone",
                hint="leave it out, or put it before each query",
            )
        from gnomon.encode.providers.scorer import ProviderScorer

        return ProviderScorer(reference.provider, reference.model, reference.settings(None))
    from gnomon.encode.cross_encoder import CrossEncoder
    from gnomon.encode.layout.cross_encoder import read_cross_encoder

    located = _located(name, progress=progress)
    title = Path(name).name
    if not scores_pairs(located.folder, carded=located.carded):
        raise ModelUnsupported(
            f"{title} makes vectors: it is no cross-encoder",
            expected="a transformer with a classification head of one label, or a causal language model",
            hint=f"gnomon.load_encoder({str(name)!r}); to rerank by a late-interaction model, "
            "gnomon.retrieve.LateRerank",
        )
    return CrossEncoder(read_cross_encoder(located.folder, name=title, instruction=instruction), settings)


@accepts_say
def load_sparse_encoder(
    name: str | Path,
    *,
    settings: EncoderSettings | None = None,
    prompts: Mapping[str, str] | None = None,
    progress: ProgressCallback = no_progress,
) -> SparseEncoder:
    """The sparse encoder in a folder or under a hub id: SPLADE, static weights for queries, BGE-M3's sparse head.

    A bare folder of a masked-language model is SPLADE with max pooling, as sentence-transformers reads it.
    Raises as `load_encoder` does, and ModelUnsupported for a model without a sparse head.
    """
    from gnomon.encode.layout.sparse import read_sparse
    from gnomon.encode.sparse import SparseEncoder

    located = _located(name, progress=progress)
    return SparseEncoder(read_sparse(located.folder, name=Path(name).name, prompts=prompts), settings)
