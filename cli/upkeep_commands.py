"""Commands for whoever keeps the installation on this machine: maintenance now instead of at its time, backup, restore.

They work on the installation itself, not through its server, so they need its settings and its files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from app.ids import rfc3339_of
from cli import running, screen
from cli.errors import FAILED, CommandFailed
from cli.house import enter
from cli.house import settings as load_settings
from cli.options import AsJson
from cli.supervisor import Record
from cli.tables import show_table

if TYPE_CHECKING:
    from app.config import Settings
    from app.container import Container
    from app.services.backup import BackupResult
    from app.services.maintenance import Job
    from app.services.restore import RestoreResult

app = typer.Typer()


@app.command()
def maintain(
    job: Annotated[str, typer.Argument(metavar="[JOB]", help="Which one; without it they are listed.")] = "",
    as_json: AsJson = False,
) -> None:
    """Run one job of the scheduler now, and say what it did."""
    with _installation() as container:
        jobs = {each.name: each for each in container.maintenance.jobs()}
        if not job:
            _show_jobs(list(jobs.values()), as_json)
            return
        if job not in jobs:
            raise CommandFailed(f"There is no job {job!r}.", remedy=f"Choose one of: {', '.join(jobs)}.")
        with _problems(f"{job} did not work."):
            did = container.maintenance.run(jobs[job])
    if as_json:
        screen.show_json({"job": job, "did": dict(did)})
    else:
        screen.out.print(f"{job}: {', '.join(f'{count} {name}' for name, count in did.items()) or 'nothing to do'}")


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="The file to write; there must be none of this name yet.")],
    as_json: AsJson = False,
) -> None:
    """Write everything that must not be lost to one file, while Paddock runs. Exit code 1 where objects were missing."""
    from app.services.backup import back_up

    if file.exists():
        raise CommandFailed(f"There is a file {file} already.", remedy="Choose another name.")
    with _installation("WARNING") as container, _problems("The backup was not made."):
        result = back_up(container.database, container.store, file.absolute())
    if as_json:
        facts = {"bytes": result.bytes, "objects": result.objects, "seconds": result.seconds}
        screen.show_json({"file": str(result.path), **facts, **_lost(result)})
    else:
        size = f"{result.bytes / 1e6:.1f} MB"
        screen.out.print(f"wrote {escape(str(file))}: {size}, {result.objects} objects, in {result.seconds:.1f} s")
        _show_lost(result)
    if not result.is_whole:
        raise typer.Exit(FAILED)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="What `paddock backup` wrote.")],
    as_json: AsJson = False,
) -> None:
    """Fill an empty installation from a backup. Start it afterwards: make up"""
    from app import log
    from app.container import build
    from app.services.restore import Target
    from app.services.restore import restore as restore_from

    house = enter()
    settings = load_settings()
    if Record(house.run).supervisor() is not None:
        raise CommandFailed(f"The installation at {house.var} runs.", remedy="Restore into an empty PADDOCK_VAR.")
    if not file.is_file():
        raise CommandFailed(f"There is no file {file}.")
    _require_empty_redis(settings)
    log.configure("cli", level="WARNING", as_json=settings.log_json)
    with _problems("The backup was not restored."):
        store = build(settings).store
        result = restore_from(file, Target(settings.database, store, settings.root / "sandboxes"))
    taken_at = rfc3339_of(result.created_at)
    if as_json:
        facts = {"sessions": result.sessions, "openRuns": result.open_runs, "objects": result.objects}
        screen.show_json({"takenAt": taken_at, **facts, **_lost(result)})
        return
    screen.out.print(f"restored the backup of {taken_at}: {result.sessions} sessions, {result.objects} objects")
    if result.open_runs:
        screen.out.print(
            f"{result.open_runs} runs were open: they go on after the start, those at work with a new attempt"
        )
    _show_lost(result)
    screen.out.print("→ make up")


def _require_empty_redis(settings: Settings) -> None:
    """Streams of runs that went on elsewhere would be taken for the truth about the restored ones."""
    import redis

    if not settings.redis_url:
        if any((settings.root / "redis").glob("**/*.aof")):
            raise CommandFailed(
                f"There is a Redis of another installation in {settings.root / 'redis'}.",
                remedy="Restore into an empty PADDOCK_VAR.",
            )
        return
    try:
        with redis.Redis.from_url(settings.redis_url) as client:
            found = next(iter(client.scan_iter("paddock:run:*", count=1000)), None)
    except redis.RedisError as error:
        raise CommandFailed("Redis does not answer.", detail=str(error), remedy="Look at REDIS_URL.") from error
    if found is not None:
        raise CommandFailed(
            "Redis holds runs of another installation.", remedy="Restore with an empty Redis: another one, or FLUSHALL."
        )


@contextmanager
def _problems(title: str) -> Iterator[None]:
    """Turn the product's errors into the command line's."""
    import peewee

    from app.errors import AppError

    try:
        yield
    except AppError as error:
        raise CommandFailed(title, detail=error.message, remedy=error.remedy or "", code=error.code) from error
    except (OSError, ValueError, peewee.PeeweeException) as error:
        raise CommandFailed(title, detail=str(error)) from error


def _lost(result: BackupResult | RestoreResult) -> dict[str, list[str]]:
    return {"missing": list(result.missing), "damaged": list(result.damaged)}


def _show_lost(result: BackupResult | RestoreResult) -> None:
    for word, keys in _lost(result).items():
        if keys:
            screen.err.print(
                f"[red]{len(keys)} objects that the database names were {word}:[/] {escape(', '.join(keys[:5]))}"
            )


def _show_jobs(jobs: list[Job], as_json: bool) -> None:
    if as_json:
        screen.show_json({"items": [{"job": job.name, "seconds": job.seconds, "about": job.about} for job in jobs]})
        return
    rows = [(job.name, f"{job.seconds:g} s", job.about) for job in jobs]
    show_table(("job", "every", "does"), rows, "no jobs")


@contextmanager
def _installation(log_level: str = "") -> Iterator[Container]:
    """Join the parts of the installation on this machine; CommandFailed where there is none, or its database does not answer."""
    from app import db, log
    from app.container import build
    from cli.first_start import database_of

    running.join_settings()
    settings = load_settings()
    require_installation(settings)
    log.configure("cli", level=log_level or settings.log_level, as_json=settings.log_json)
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
