"""The application that the commands hang on, and what `gnomon --help` says."""

from __future__ import annotations

from typing import Annotated

import typer

EXIT_CODES = """[dim]Exit codes[/dim]

    0  done
    1  nothing could be indexed, or with --strict not everything; in eval and
       compare: less than was asked for with --expect or --require; in ask: not
       in these documents; in migrate: not switched; in watch and doctor: a finding
    2  wrong input: an option, a path, a text, another model
    3  the surroundings: disk, permissions, a lock, the network
    4  damage: a corrupt catalog, weights with another digest
  130  stopped with Ctrl-C; what was acknowledged is kept"""

app = typer.Typer(
    name="gnomon",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Only data on stdout, for scripts.")]


def example(*lines: str) -> str:
    """An epilog: what to type."""
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
