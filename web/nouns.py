"""All routes of the web tier, one module per noun. A module that is not listed here is not served."""

from __future__ import annotations

from web import pages, portal, socket
from web.api import (
    accounts,
    bundles,
    chats,
    explain,
    external,
    health,
    human_loop,
    maintenance,
    metrics,
    policies,
    processes,
    providers,
    run_input,
    run_start,
    runs,
    session_workers,
    traces,
    workspaces,
)

_MODULES = (
    *(
        run_start,
        runs,
        run_input,
        external,
        explain,
        traces,
        maintenance,
        session_workers,
        workspaces,
        human_loop,
        policies,
        processes,
    ),
    *(providers, accounts, bundles, chats, health, metrics, socket, pages, portal),
)
ROUTES = tuple(module.routes for module in _MODULES)
