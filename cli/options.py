"""Options that many commands share."""

from __future__ import annotations

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=5000, help="How many at most.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's id (run_…).")]
SessionId = Annotated[str, typer.Argument(metavar="SESSION", help="A session's id (ses_…).")]
