"""The page: static files that web/ builds. They hold nothing of any collection, so no key is asked for."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

_FOLDER = Path(__file__).parent.parent / "page"

router = APIRouter(include_in_schema=False)


class _Assets(StaticFiles):
    """Files whose names carry a hash of what they hold: a browser may keep them for good."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "public, max-age=31536000, immutable"
        return response


@router.get("/")
async def page() -> FileResponse:
    """The page, asked for anew each time: it names the present files."""
    return FileResponse(_FOLDER / "index.html", headers={"cache-control": "no-cache"})


@router.get("/favicon.svg")
async def icon() -> FileResponse:
    """The icon of the page."""
    return FileResponse(_FOLDER / "favicon.svg")


router.mount("/assets", _Assets(directory=_FOLDER / "assets"))
