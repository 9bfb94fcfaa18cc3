"""The `paddock` command: joins the commands of the other modules and reports what goes wrong."""

from __future__ import annotations

import sys

import typer

from cli import (
    house_commands,
    operating_commands,
    run_commands,
    screen,
    server_commands,
    session_commands,
    upkeep_commands,
)
from cli.errors import NOT_DONE, CommandFailed
from cli.stress import command as stress_command

app = typer.Typer(
    name="paddock",
    help="Runs coding agents as jobs. Without PADDOCK_URL and PADDOCK_TOKEN it uses the installation on this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for part in (
    run_commands,
    session_commands,
    server_commands,
    house_commands,
    operating_commands,
    upkeep_commands,
    stress_command,
):
    app.add_typer(part.app)


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its code; `cli.errors` lists the codes."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        app(words, prog_name="paddock")
    except CommandFailed as error:
        screen.show_failure(error, as_json="--json" in words)
        sys.exit(NOT_DONE)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output left: nothing more to say, not even at exit
        sys.exit(NOT_DONE)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
