"""The ids that we give Claude Code, the same for every holder of a run."""

from __future__ import annotations

import uuid

from app.domain.turn import Launch

_NAMESPACE = uuid.UUID("b6f2a4de-6d0f-4d8e-9d5a-0a7c5f1f7c11")


def conversation_of(launch: Launch) -> str:
    """Return the conversation that goes on, or a new one: of the attempt, because the CLI refuses an id in use."""
    if launch.resume is not None:
        return launch.resume.conversation_id
    return str(uuid.uuid5(_NAMESPACE, f"conversation:{launch.run_id}:{launch.attempt}"))


def prompt_uuid(run_id: str) -> str:
    """Return the mark of the run's prompt; the CLI keeps it in its transcript."""
    return str(uuid.uuid5(_NAMESPACE, f"prompt:{run_id}"))


def steer_uuid(launch: Launch, command_id: str) -> str:
    """Return the name of a message that came while the turn ran."""
    return str(uuid.uuid5(_NAMESPACE, f"steer:{launch.run_id}:{launch.attempt}:{command_id}"))


def continue_uuid(launch: Launch) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"continue:{launch.run_id}:{launch.attempt}"))
