"""The web tier: authenticates, validates, reads, writes rows, rings the bell, fans events out. It drives no agent."""

from __future__ import annotations

from flask import Flask

from app.container import Container


def create_app(container: Container) -> Flask:
    """Return the application of one web process; raises RuntimeError for a route that declares no permission."""
    from web import errors, guard, parts, routing, socket
    from web.api import (
        accounts,
        bundles,
        chats,
        explain,
        health,
        human_loop,
        maintenance,
        providers,
        run_start,
        runs,
        session_workers,
        traces,
        workspaces,
    )
    from web.pages import routes as pages

    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = container.settings.max_body_bytes
    app.extensions["paddock"] = parts.join(container)
    socket.configure(app)
    errors.register(app)
    guard.install(app)
    nouns = (
        run_start,
        runs,
        explain,
        traces,
        session_workers,
        workspaces,
        human_loop,
        maintenance,
        providers,
        accounts,
        bundles,
        chats,
        health,
    )
    for routes in [noun.routes for noun in nouns] + [socket.routes, pages]:
        routing.register(app, routes)
    routing.check(app)
    return app
