"""What happens by itself: orphaned agents are ended; what survives the executor is killed where the kernel does not do it."""

from __future__ import annotations

import os
import select
import time

from executor import processes
from executor.agents import Agents
from executor.server import Contact
from executor.settings import Settings


def guard(boot_id: str) -> int:
    """Fork a process that waits for this one's death and then kills all that it started, however that got away.

    For sandboxes without a PID namespace of their own, where `kill -9` of the executor would leave its agents' children. To be
    called before the first thread. Returns its pid.
    """
    reading, _writing = os.pipe()  # the writing end stays open, here only, for as long as this process lives
    if (pid := os.fork()) != 0:
        os.close(reading)
        return pid
    os.close(_writing)
    while os.read(reading, 1):
        pass
    processes.kill(lambda: processes.marked(processes.table(), processes.BOOT_MARK, boot_id))
    os._exit(0)


class Watch:
    """The rule for orphans (ARCHITECTURE decision 12), and the end of an executor whose folder or monitor is gone."""

    def __init__(self, settings: Settings, agents: Agents, contact: Contact) -> None:
        self._settings, self._agents, self._contact = settings, agents, contact
        self._step = 0
        self._stepped_at = 0.0

    def run(self) -> None:
        """Look every second for as long as the process lives."""
        monitors = [self._settings.monitor_fd] if self._settings.monitor_fd is not None else []
        while True:
            if select.select(monitors, [], [], 1.0)[0] and not os.read(monitors[0], 4096):
                os._exit(3)  # bubblewrap's outer process was killed; without it nobody would find this sandbox
            if self._deserted():
                os._exit(0)
            self._end_orphans()

    def _deserted(self) -> bool:
        try:
            return os.stat(self._settings.state).st_nlink == 0
        except FileNotFoundError:
            return True

    def _end_orphans(self) -> None:
        now = time.monotonic()
        if now - self._contact.at < max(self._settings.orphan_seconds, 1.0) or self._agents.running() == 0:
            self._step = 0
            return
        if self._step and now - self._stepped_at < self._settings.limits.orphan_step_seconds:
            return
        self._agents.interrupt_orphans(("INT", "TERM", "KILL")[min(self._step, 2)])
        self._step += 1
        self._stepped_at = now
