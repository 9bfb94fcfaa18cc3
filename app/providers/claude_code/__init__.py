"""The provider `claude-code`: Claude Code's own binary on raw stdio (stream-json), stepped record by record.

`provider.py` starts it, `turn.py` steps one attempt, `speech.py` its texts, `tools.py` its tools and todos, `usage.py` its
usage, `endings.py` why it failed, `wire.py` the lines it is sent. Measured with CLI 2.1.327 unless said otherwise.
"""

from app.providers.claude_code.provider import ClaudeCodeProvider

__all__ = ["ClaudeCodeProvider"]
