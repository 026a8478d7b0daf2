"""The API's documentation as a page: Swagger UI from an installed package, so that it needs no other server."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse, Response

router = APIRouter(include_in_schema=False)

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>gnomon: API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
<main id="swagger-ui"></main>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</html>
"""
# Swagger UI would ask a validator on another server for an opinion.
_START = """SwaggerUIBundle({
  url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null, tryItOutEnabled: true,
  defaultModelsExpandDepth: 0,
});
"""
_A_DAY = {"cache-control": "public, max-age=86400"}


@router.get("/docs")
async def page() -> HTMLResponse:
    """The page, without anything inline: the content security policy allows none."""
    return HTMLResponse(_PAGE)


@router.get("/docs/start.js")
async def start() -> Response:
    """Starts Swagger UI on this server's OpenAPI document."""
    return Response(_START, media_type="text/javascript", headers=_A_DAY)


@router.get("/docs/swagger-ui.css")
async def style() -> FileResponse:
    """Swagger UI's style."""
    return FileResponse(_assets() / "swagger-ui.css", headers=_A_DAY)


@router.get("/docs/swagger-ui-bundle.js")
async def script() -> FileResponse:
    """Swagger UI."""
    return FileResponse(_assets() / "swagger-ui-bundle.js", headers=_A_DAY)


@cache
def _assets() -> Path:
    return Path(str(files("fastapi_offline"))) / "static"
