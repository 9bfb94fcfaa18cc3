"""Renewing the leases of one process. One thread; it survives a database that does not answer for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from app import db
from app.domain.lease import Lease
from app.log import logger
from app.services import runs

_SHORTEST_PAUSE = 0.05


class LeaseKeeper:
    """Renews each lease after a third of it. `on_renewed` of a lease is called after each renewal, and when it was lost."""

    def __init__(self) -> None:
        self._leases: dict[Lease, tuple[float, Callable[[], None]]] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, lease: Lease, on_renewed: Callable[[], None]) -> None:
        with self._changed:
            self._leases[lease] = (time.monotonic() + lease.seconds / 3, on_renewed)
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep, name="lease-keeper", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def remove(self, lease: Lease) -> None:
        with self._changed:
            self._leases.pop(lease, None)

    def _keep(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                due = [lease for lease, (at, _) in self._leases.items() if at <= now]
                if not due:
                    next_at = min((at for at, _ in self._leases.values()), default=now + 60)
                    self._changed.wait(max(_SHORTEST_PAUSE, next_at - now))
                    continue
            for lease in due:
                self._renew(lease)

    def _renew(self, lease: Lease) -> None:
        asked_at = time.monotonic()
        try:
            with db.connection():
                renewed = runs.renew(lease.run_id, lease.epoch, lease.seconds)
        except Exception as error:  # noqa: BLE001 - a blip of the database must not end the thread that keeps all leases
            logger.warning("lease renewal failed", run_id=lease.run_id, epoch=lease.epoch, error=str(error))
            self._schedule(lease, lease.seconds / 30)
            return
        if renewed:
            lease.renewed(asked_at)
            self._schedule(lease, lease.seconds / 3)
        else:
            lease.lose()
            self._schedule(lease, None)

    def _schedule(self, lease: Lease, pause: float | None) -> None:
        with self._changed:
            known = self._leases.get(lease)
            if known is None:
                return
            if pause is None:
                del self._leases[lease]
            else:
                self._leases[lease] = (time.monotonic() + pause, known[1])
        known[1]()
