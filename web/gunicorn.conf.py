"""How gunicorn runs the web tier: gevent workers, one loop each. Read by gunicorn itself (`-c web/gunicorn.conf.py`).

The patches come before everything else: what was imported unpatched would block the loop, and with it every stream.
"""

# ruff: noqa: E402, N999 - the order of the first lines is the point; gunicorn wants the name

import gc

gc.disable()  # until everything is loaded: what is loaded stays

from gevent import monkey

monkey.patch_all()

from psycogreen.gevent import patch_psycopg

patch_psycopg()

from typing import Any

from app import log as _log
from app.config import load as _load  # gunicorn takes every public name here for a setting
from web import leaving as _leaving
from web import nouns as _nouns  # noqa: F401 - the code is loaded once, before the fork; nothing connects or starts by that

_settings = _load()
_log.configure("web", level=_settings.log_level, as_json=_settings.log_json, secrets=_settings.secrets)
_log.capture()  # for gunicorn's first process, which serves nothing itself

bind = [f"{'[' + _settings.host + ']' if ':' in _settings.host else _settings.host}:{_settings.port}"]
workers = _settings.web_processes
worker_class = "gevent"
worker_connections = 10_000  # a stream is a connection that stays
preload_app = False  # each worker builds its own container: connections and threads do not survive a fork
timeout = 60  # of the loop, not of a request: a worker whose loop stands still for so long is replaced
graceful_timeout = 10  # after SIGTERM; streams are ended at once, their clients come back with their cursor
keepalive = 75
limit_request_line = 8190
limit_request_fields = 100
forwarded_allow_ips = ""  # X-Forwarded-* is believed of nobody until trusted proxies can be named
accesslog = None  # web.guard writes one JSON line per request
errorlog = "-"
loglevel = "warning"
logger_class = "web.server_log.ServerLog"
proc_name = "paddock-web"


def when_ready(_server: Any) -> None:
    """Collect from now on, but not what was loaded: workers that looked at it would copy its memory."""
    gc.freeze()
    gc.enable()


def post_worker_init(worker: Any) -> None:
    """Report this process from now on, and let it go without waiting for streams and idle connections."""
    worker.wsgi.extensions["paddock"].reporter.start()
    _leaving.watch(worker)
