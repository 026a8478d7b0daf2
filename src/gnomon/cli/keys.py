"""gnomon keys: create, list and revoke."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gnomon.cli.app import Json, example, keys_app

if TYPE_CHECKING:
    from gnomon.serve.security.keys import ApiKey, KeyFile

File = Annotated[
    Path | None,
    typer.Option("--file", help="The file of keys; by default gnomon/keys.json in the configuration folder."),
]


@keys_app.command(
    epilog=example(
        "gnomon keys create laptop",
        "gnomon keys create website --collection docs --days 90",
        "gnomon keys create ops --scope admin",
    )
)
def create(
    name: Annotated[str, typer.Argument(help="Who or what uses it; the request log shows it.", metavar="NAME")],
    *,
    scope: Annotated[
        Literal["read", "admin"], typer.Option(help="read: search, ask, embed. admin: change collections too.")
    ] = "read",
    collection: Annotated[
        list[str] | None,
        typer.Option(help="A collection, by its name in addresses; may be given several times. By default all."),
    ] = None,
    days: Annotated[float | None, typer.Option(help="How long it is good for; by default until revoked.")] = None,
    file: File = None,
    as_json: Json = False,
) -> None:
    """Make an API key and show it, this once: only a hash of it is kept."""
    from gnomon.cli.terminal import data_console, notes_console, print_json

    keys = _key_file(file)
    key, token = keys.create(name, scope=scope, collections=collection, days=days)
    if as_json:
        print_json({**_shown(key), "key": token, "file": str(keys.path)})
        return
    data_console().print(token, soft_wrap=True, highlight=False)
    notes_console().print("[dim]This key is not shown again. Clients send it as  Authorization: Bearer KEY[/dim]")


@keys_app.command("list", epilog=example("gnomon keys list"))
def list_keys(file: File = None, as_json: Json = False) -> None:
    """List the API keys: names, scopes, collections and times; never the keys themselves."""
    from rich.text import Text

    from gnomon.cli.evaluation import print_table
    from gnomon.cli.terminal import clean, data_console, print_json

    keys = _key_file(file)
    if as_json:
        print_json({"file": str(keys.path), "keys": [_shown(key) for key in keys.read()]})
        return
    rows = [
        [
            clean(key.name, style="bold"),
            Text(key.scope),
            clean("all" if key.collections is None else ", ".join(key.collections)),
            Text(key.created[:10]),
            Text("expired" if key.expired else (key.expires or "never")[:10]),
        ]
        for key in keys.read()
    ]
    if rows:
        print_table(data_console(), ["name", "scope", "collections", "created", "expires"], rows)
    else:
        data_console().print(clean(f"no keys in {keys.path}"), soft_wrap=True)


@keys_app.command(epilog=example("gnomon keys revoke laptop"))
def revoke(
    name: Annotated[str, typer.Argument(help="A key that `gnomon keys list` shows.", metavar="NAME")],
    *,
    file: File = None,
    as_json: Json = False,
) -> None:
    """End an API key, at once, in running servers too."""
    from gnomon.cli.terminal import clean, data_console, print_json

    _key_file(file).revoke(name)
    if as_json:
        print_json({"revoked": name})
    else:
        data_console().print(clean(f"{name} is revoked"), soft_wrap=True)


def _key_file(file: Path | None) -> KeyFile:
    from gnomon.serve.security.keys import KeyFile, default_key_file

    return KeyFile(file or default_key_file())


def _shown(key: ApiKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "scope": key.scope,
        "collections": None if key.collections is None else list(key.collections),
        "created": key.created,
        "expires": key.expires,
        "expired": key.expired,
    }
