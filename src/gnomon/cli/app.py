"""The command-line application, its groups of commands and what `gnomon --help` shows."""

from __future__ import annotations

from typing import Annotated, Any

import typer

EXIT_CODES = """[dim]Exit codes[/dim]

    0  done
    1  index: nothing indexed, or with --strict not everything
       eval, compare: less than --expect or --require asks for
       ask: not in these documents; migrate: not switched; adapt: declined
       doctor, monitor: a finding
    2  wrong input: an option, a path, a text, a model
    3  the surroundings: disk, permissions, a lock, the network
    4  damage: a corrupt catalog, weights with another digest
    5  ask: perhaps in these documents
  130  stopped with Ctrl-C; what was acknowledged is kept"""

PANELS = {
    "Index, search and ask": ("demo", "index", "remove", "search", "ask", "tables", "fields", "status"),
    "Map and files": ("map", "export", "import"),
    "Serve": ("serve", "mcp", "keys"),
    "Evaluate": ("eval", "compare", "judge", "clicks"),
    "Versions and migration": ("versions", "plan", "migrate", "adapt", "adapter", "switch", "rollback"),
    "Health": ("doctor", "monitor"),
    "Models and training": ("models", "encode", "train", "mine", "words", "export-onnx"),
}
"""The commands in the groups and the order in which help shows them."""
COMMANDS = tuple(name for names in PANELS.values() for name in names)


class _Commands(typer.core.TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=COMMANDS.index)


app = typer.Typer(
    name="gnomon",
    cls=_Commands,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _sub_app(name: str, help_text: str) -> typer.Typer:
    sub_app = typer.Typer(name=name, help=help_text, rich_markup_mode="rich")
    app.add_typer(sub_app, name=name)
    return sub_app


eval_app = _sub_app("eval", "Measure search, answers or a model: figures with 95% intervals.")
tables_app = _sub_app(
    "tables",
    "Answer questions from the rows of CSV, SQLite and Parquet files, beside a collection's documents.\n\n"
    "The files stay where they are and are only read. `gnomon ask` searches them.",
)
keys_app = _sub_app(
    "keys",
    "Make and end the API keys that `gnomon serve` demands of its clients.\n\n"
    "Beyond this machine no server starts without them; on it they are in force with --keys.",
)
words_app = _sub_app(
    "words",
    "Train word vectors, and look up neighbours and analogies.\n\n"
    "What train and convert write is a model folder too: gnomon index PATH --into kb --model FOLDER.",
)

Json = Annotated[bool, typer.Option("--json", help="Only data on stdout, for scripts.")]


def arrange() -> None:
    """Put the commands, once they are registered, into their groups of help."""
    panels = {name: panel for panel, names in PANELS.items() for name in names}
    for command in app.registered_commands:
        command.rich_help_panel = panels[command.name or str(getattr(command.callback, "__name__", ""))]
    for group in app.registered_groups:
        group.rich_help_panel = panels[str(group.name)]


def example(*lines: str) -> str:
    """An epilog with example command lines."""
    shown = "\n".join("[dim]$[/dim] " + line.replace("[", r"\[") for line in lines)
    return f"[dim]Example{'s' if len(lines) > 1 else ''}[/dim]\n\n{shown}"


def _version(wanted: bool) -> None:
    if wanted:
        from gnomon import __version__

        typer.echo(f"gnomon {__version__}")
        raise typer.Exit


@app.callback(
    invoke_without_command=True,
    epilog=example("gnomon index docs/ --into kb", 'gnomon search kb "how do I rotate the keys?"')
    + f"\n\n{EXIT_CODES}",
)
def gnomon(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Index your documents and search them by meaning and by word, on your own machine."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)
