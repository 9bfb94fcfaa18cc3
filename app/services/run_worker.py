"""The runs that one worker process drives: claiming until nothing is claimable, and handing back when it is to stop."""

from __future__ import annotations

import threading
from collections import Counter

from app import db
from app.domain.lease import Lease
from app.log import logger
from app.services import holders, run_claims
from app.services.run_driver import DriverParts, RunDriver

SPARE_THREADS = 1
"""Beyond PADDOCK_WORKER_THREADS, for runs of other providers than one that takes up all of those (decision 0013)."""


class RunWorker:
    """One per worker process; its threads call `drive_until_idle` whenever a bell rings."""

    def __init__(self, owner: str, parts: DriverParts) -> None:
        self._owner, self._parts = owner, parts
        self._drivers: dict[str, RunDriver] = {}
        self._providers: Counter[str] = Counter()  # of the runs in hand
        self._claiming = threading.Lock()  # from looking who is full to counting who was claimed
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)

    def look_around(self) -> None:
        """At the start: end the leases of dead workers (the one before this, perhaps), and ring for each run that nobody drives."""
        with db.connection():
            holders.end_leases_of_the_dead()
            waiting = run_claims.count(self._parts.settings.worker_threads)
        for _ in range(max(1, waiting)):
            self._parts.bell.ring_runs()

    def drive_until_idle(self) -> None:
        """Claim and drive one run after another until nothing is claimable. Without room for new work no attempt starts; what runs
        goes on, and the sweep rings until there is room again."""
        if self._parts.stopping.is_set():
            self._parts.bell.ring_runs()  # it was meant for somebody who stays
        while not self._parts.stopping.is_set():
            with db.connection():
                starts = self._parts.watermarks.find_shortage() is None
                with self._claiming:
                    claim = self._claim(starts=starts)
                    if claim is not None:
                        self._providers[claim.run.provider] += 1
                if claim is None:
                    return
                try:
                    self._drive(claim)
                finally:
                    with self._claiming:
                        self._providers[claim.run.provider] -= 1

    def _claim(self, *, starts: bool) -> run_claims.Claim | None:
        """Claim, count it, and tell whether claiming works at all."""
        most = self._parts.settings.worker_threads
        full = [provider for provider, count in self._providers.items() if count >= most]
        try:
            claim = run_claims.take_next(self._owner, self._parts.settings.lease_duration, starts=starts, full=full)
        except Exception as error:
            self._parts.progress.failed("claims", error)
            raise
        self._parts.progress.turned("claims")
        if claim is not None:
            self._parts.counters.add("paddock_claims_total", {"kind": "turn" if claim.turn else "command"})
            if claim.lost_lease:
                self._parts.counters.add("paddock_lease_takeovers_total", {})
        return claim

    def _drive(self, claim: run_claims.Claim) -> None:
        run = claim.run
        lease = Lease(run.id, run.epoch, self._owner, self._parts.settings.lease_duration)
        driver = RunDriver(claim, lease, self._parts)
        with self._lock:
            self._drivers[run.id] = driver
        try:
            with logger.contextualize(trace_id=run.trace_id, session_id=run.session_id, run_id=run.id):
                driver.drive()
        finally:
            with self._lock:
                if self._drivers.get(run.id) is driver:
                    del self._drivers[run.id]
                self._idle.notify_all()
            if self._parts.stopping.is_set():
                self._parts.bell.ring_runs()  # a bell wakes one thread of another worker: one for each run handed back

    def wake(self, run_id: str) -> None:
        """A command for this run has come; nothing to do where it is not driven here."""
        with self._lock:
            driver = self._drivers.get(run_id)
        if driver is not None:
            driver.wake()

    @property
    def running(self) -> int:
        """How many runs are in hand."""
        with self._lock:
            return len(self._drivers)

    def resume(self) -> None:
        """Drive again after a `stop` that the process outlived; the caller lets bells be heard again."""
        self._parts.stopping.clear()

    def stop(self, patience_seconds: float) -> None:
        """Hand all leases back: drivers do it themselves at their next look; from those that are in the middle of something
        longer the lease is taken after `patience_seconds`. No bell may be heard here any more: those rung now are for others."""
        self._parts.stopping.set()
        with self._lock:
            for driver in self._drivers.values():
                driver.wake()
            self._idle.wait_for(lambda: not self._drivers, patience_seconds)
            left = list(self._drivers.values())
        with db.connection():
            for driver in left:
                driver.give_up_lease()
                self._parts.bell.ring_runs()
