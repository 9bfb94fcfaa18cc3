"""What the command line tells people when something does not work, and the exit codes. README lists the codes as well."""

from __future__ import annotations

SUCCEEDED = 0
FAILED = 1
NOT_DONE = 2
"""The command was wrong, or the server refused it or does not answer: no run was harmed."""
CANCELED = 3
BLOCKED = 4

EXIT_CODES = {"succeeded": SUCCEEDED, "failed": FAILED, "canceled": CANCELED, "blocked": BLOCKED}


class CommandFailed(Exception):
    """A sentence, what is known beyond it, and what to do about it."""

    def __init__(self, title: str, *, detail: str = "", remedy: str = "", code: str = "", status: int = 0) -> None:
        super().__init__(title)
        self.title = title
        self.detail = detail
        self.remedy = remedy
        self.code = code
        self.status = status

    def as_json(self) -> dict[str, object]:
        facts = {"title": self.title, "detail": self.detail, "remedy": self.remedy, "code": self.code}
        return {**{name: value for name, value in facts.items() if value}, "status": self.status}


class Unreachable(CommandFailed):
    """Nobody answers at the address (now)."""
