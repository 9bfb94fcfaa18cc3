"""Everything that runs in the sandbox beside the executor: how many, stopped, continued, killed."""

from __future__ import annotations

import os

from executor import processes
from executor.settings import Settings


class Population:
    """`warden` is the executor's own second process, if it has one."""

    def __init__(self, settings: Settings, warden: int | None) -> None:
        self._settings = settings
        self._own = {os.getpid(), *([warden] if warden is not None else [])}

    def others(self) -> set[int]:
        """Return the pids of all but the executor's own processes."""
        seen = processes.table() if self._settings.own_pids else processes.below(os.getpid())
        return set(seen) - self._own

    def quiet(self) -> bool:
        """True where nothing can write now: there is nothing, or it is stopped."""
        found = [processes.look(pid) for pid in self.others()]
        return all(process is None or process.state in ("T", "Z", "X") for process in found)

    def freeze(self) -> int:
        return processes.freeze(self.others)

    def thaw(self) -> int:
        return processes.thaw(self.others())

    def halt(self) -> int:
        """Freeze first, so that nothing sees another one die and acts on it; then kill."""
        processes.freeze(self.others)
        return processes.kill(self.others)
