"""The web tier: authenticates, validates, reads, writes rows, rings the bell, fans events out. It drives no agent."""

from __future__ import annotations

from flask import Flask

from app.container import Container


def create_app(container: Container) -> Flask:
    """Return the application of one web process; raises RuntimeError for a route that declares no permission."""
    from web import errors, guard, nouns, parts, routing, socket

    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = container.settings.max_body_bytes
    app.extensions["paddock"] = parts.join(container)
    socket.configure(app)
    errors.register(app)
    guard.install(app)
    for routes in nouns.ROUTES:
        routing.register(app, routes)
    routing.check(app)
    return app
