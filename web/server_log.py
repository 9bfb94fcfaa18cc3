"""What gunicorn says, in the form of all other lines."""

from __future__ import annotations

from typing import Any

from gunicorn.glogging import Logger

from app.log import LibraryHandler


class ServerLog(Logger):
    """Hands gunicorn's entries on; there is no access log, `web.guard` writes one line per request."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers = [LibraryHandler()]
