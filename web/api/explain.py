"""Why a run is where it is: for whoever sees the run."""

from __future__ import annotations

from app.domain.permissions import Permission
from app.models import AgentRun
from app.services import identity, run_explanation
from web.parts import Parts
from web.routing import Routes
from web.schemas.explanations import ExplanationView, explanation_view

routes = Routes("runs")


@routes.get("/api/runs/<run_id>/explain", Permission.RUN_READ)
def explain_run(run: AgentRun, parts: Parts) -> ExplanationView:
    """Say in words where a run is and what to do, with its lease, attempts, failures, commands, requests, and the end of its agent's
    journal as the executor tells it. Starts nothing."""
    found = run_explanation.explain(run, parts.container.session_workers)
    names = identity.names_of([request.replied_by for request in found.requests if request.replied_by])
    return explanation_view(found, names)
