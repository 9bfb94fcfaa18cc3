"""The highest epoch that was seen of each run, on disk: who comes with a lower one has lost the run."""

from __future__ import annotations

import os
import threading

from executor.names import checked_name
from executor.refusal import Refused


class Fences:
    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._known: dict[str, int] = {}
        self._lock = threading.Lock()
        os.makedirs(folder, 0o700, exist_ok=True)

    def check(self, run_id: str, epoch: int) -> int:
        """Admit `epoch`, or refuse it with 409 `fenced`; the highest one admitted is remembered before this returns."""
        with self._lock:
            highest = self._read(run_id)
            if epoch < highest:
                raise Refused(409, "fenced", f"epoch {epoch} is over; the run is at {highest}")
            if epoch > highest:
                self._write(run_id, epoch)
            return epoch

    def _read(self, run_id: str) -> int:
        if run_id not in self._known:
            try:
                with open(self._path(run_id), "rb") as file:
                    self._known[run_id] = int(file.read())
            except FileNotFoundError:
                self._known[run_id] = 0
        return self._known[run_id]

    def _write(self, run_id: str, epoch: int) -> None:
        path = self._path(run_id)
        with open(path + ".new", "wb") as file:
            file.write(b"%d" % epoch)
        os.replace(path + ".new", path)
        self._known[run_id] = epoch

    def _path(self, run_id: str) -> str:
        return os.path.join(self._folder, checked_name(run_id))
