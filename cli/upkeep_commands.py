"""Commands for whoever keeps the installation on this machine: maintenance now instead of at its time, backup, restore.

They work on the installation itself, not through its server, so they need its settings and its files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from cli import running, screen
from cli.errors import CommandFailed
from cli.house import settings as load_settings
from cli.options import AsJson
from cli.tables import show_table

if TYPE_CHECKING:
    from app.config import Settings
    from app.container import Container
    from app.services.maintenance import Job

app = typer.Typer()


@app.command()
def maintain(
    job: Annotated[str, typer.Argument(metavar="[JOB]", help="Which one; without it they are listed.")] = "",
    as_json: AsJson = False,
) -> None:
    """Run one job of the scheduler now, and say what it did."""
    from app.errors import AppError

    with _installation() as container:
        jobs = {each.name: each for each in container.maintenance.jobs()}
        if not job:
            _show_jobs(list(jobs.values()), as_json)
            return
        if job not in jobs:
            raise CommandFailed(f"There is no job {job!r}.", remedy=f"Choose one of: {', '.join(jobs)}.")
        try:
            did = container.maintenance.run(jobs[job])
        except AppError as error:
            raise CommandFailed(f"{job} did not work.", detail=error.message, remedy=error.remedy or "") from error
    if as_json:
        screen.show_json({"job": job, "did": dict(did)})
    else:
        screen.out.print(f"{job}: {', '.join(f'{count} {name}' for name, count in did.items()) or 'nothing to do'}")


def _show_jobs(jobs: list[Job], as_json: bool) -> None:
    if as_json:
        screen.show_json({"items": [{"job": job.name, "seconds": job.seconds, "about": job.about} for job in jobs]})
        return
    rows = [(job.name, f"{job.seconds:g} s", job.about) for job in jobs]
    show_table(("job", "every", "does"), rows, "no jobs")


@contextmanager
def _installation() -> Iterator[Container]:
    """Join the parts of the installation on this machine; CommandFailed where there is none, or its database does not answer."""
    from app import db, log
    from app.container import build
    from cli.first_start import database_of

    running.join_settings()
    settings = load_settings()
    require_installation(settings)
    log.configure("cli", level=settings.log_level, as_json=settings.log_json)
    with database_of(settings):
        container = build(settings)
        try:
            with db.connection():
                yield container
        finally:
            container.database.close()


def require_installation(settings: Settings) -> None:
    """A SQLite file that is not there would be made by looking into it."""
    if not settings.database_url and not (settings.root / "paddock.sqlite3").exists():
        raise CommandFailed(f"There is no installation at {settings.root}.", remedy="Start one with `make up`.")
