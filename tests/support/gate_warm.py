"""Imported by the fork server of `gate_jobs` alone: asks once what each of its forks would ask again by starting processes."""

from __future__ import annotations

from app.adapters import bubblewrap
from app.adapters.precompiled import precompile

bubblewrap.sandbox_mode()
precompile(bubblewrap.find_interpreter().path)
