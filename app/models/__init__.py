"""The tables as peewee sees them: columns and nothing else. Constraints are in `sql/`, behaviour in `app.services`."""

from __future__ import annotations

from app.models.breakers import ProviderBreaker
from app.models.identity import ApiToken, IdempotencyKey, LoginLink, RoleBinding, Tenant, User, WebSession
from app.models.model_calls import ModelCall
from app.models.policies import PolicyRow
from app.models.processes import WorkerProcess
from app.models.runs import AgentRun, HumanLoopRequest, RunCommand, RunEvent, RunToken, Todo, UsageLog
from app.models.sessions import Bundle, ChatRead, ChatSession, SessionWorker, Snapshot
from app.models.webhooks import WebhookDelivery

__all__ = [
    "AgentRun", "ApiToken", "Bundle", "ChatRead",
    "ChatSession", "HumanLoopRequest", "IdempotencyKey", "LoginLink", "ModelCall", "PolicyRow", "ProviderBreaker",
    "RoleBinding", "RunCommand", "RunEvent", "RunToken", "SessionWorker", "Snapshot", "Tenant", "Todo", "UsageLog", "User", "WebSession",
    "WebhookDelivery", "WorkerProcess",
]  # fmt: skip
