"""Models: which there are, in OpenAI's form."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request

from gnomon.serve.errors import UnknownModel
from gnomon.serve.models.encoder import ServedEncoder
from gnomon.serve.models.scorer import ServedScorer
from gnomon.serve.schemas.embeddings import Model, ModelList
from gnomon.serve.security.access import requires, visible
from gnomon.serve.state import ServerState, state_of

router = APIRouter(prefix="/v1/models", tags=["Models"])


@router.get("", dependencies=[Depends(requires("read"))])
async def list_models(request: Request) -> ModelList:
    """All models that are served: embedding models, those of the collections among them, and rerankers."""
    return ModelList(data=[_described(state_of(request), served) for served in await _models(request)])


@router.get("/{model:path}", dependencies=[Depends(requires("read"))])
async def retrieve_model(request: Request, model: str) -> Model:
    """One model, by any of its names."""
    for served in await _models(request):
        if served.name.is_called(model):
            return _described(state_of(request), served)
    raise UnknownModel(f"no model {model[:100]!r} is served", expected="one of those that GET /v1/models lists")


async def _models(request: Request) -> list[ServedEncoder | ServedScorer]:
    state = state_of(request)
    own = state.models.encoders
    named = {served.name.public for served in own}
    of_collections = await state.work.run(state.models.of_collections, visible(request, state.collections))
    return [*own, *(each for each in of_collections if each.name.public not in named), *state.models.scorers]


def _described(state: ServerState, served: ServedEncoder | ServedScorer) -> Model:
    is_encoder = isinstance(served, ServedEncoder)
    return Model(
        id=served.name.public,
        created=state.started,
        kind="embedding" if is_encoder else "reranker",
        dim=served.space.dim if isinstance(served, ServedEncoder) else None,
        dimensions=list(served.dims) if isinstance(served, ServedEncoder) else [],
        max_tokens=served.max_tokens,
        space=served.space.fingerprint if isinstance(served, ServedEncoder) else None,
        memory_bytes=served.memory_bytes or None,
        aliases=list(served.name.aliases),
    )
