"""A scripted model server for tests: real agents talk to it as to their provider's API.

`server.py` serves and logs, `scenario.py` decides what the model "says" (the same for every API); `anthropic.py` speaks
Anthropic Messages, `responses.py` OpenAI Responses, `chat.py` Chat Completions. Run alone:
`python -m tests.support.model_server --port N`.
"""

from tests.support.model_server.server import ModelServer

__all__ = ["ModelServer"]
