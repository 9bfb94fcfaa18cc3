"""What to call the people of a run on the terminal: `you`, or a name instead of an id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.errors import CommandFailed

if TYPE_CHECKING:
    from cli.client import Client


class People:
    """Names by user id, as far as this client may know them; each is asked for once, and only when it is shown."""

    def __init__(self, client: Client, run_id: str) -> None:
        self._client, self._run_id = client, run_id
        self._names: dict[str, str] = {}

    def name_of(self, user_id: str) -> str:
        """Return `you` or a name; the id where nobody tells."""
        try:
            if not self._names:
                self._names[str(self._client.get("/api/me")["userId"])] = "you"
            if user_id not in self._names:
                self._names = {user_id: user_id, **self._answerers(), **self._names}
        except CommandFailed:
            return user_id
        return self._names[user_id]

    def _answerers(self) -> dict[str, str]:
        items = self._client.pages("/api/human-loop/resolved", 500, runId=self._run_id)
        return {str(item["by"]): str(item["byName"]) for item in items if item.get("byName")}
