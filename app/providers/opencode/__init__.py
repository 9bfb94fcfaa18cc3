"""OpenCode by its server: `executor/opencode_bridge.py` puts its HTTP and events on lines, one process pair per attempt."""

from app.providers.opencode.provider import OpenCodeProvider

__all__ = ["OpenCodeProvider"]
