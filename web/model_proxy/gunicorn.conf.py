"""How gunicorn runs the model proxy: gevent workers, one loop each. Read by gunicorn itself (`-c web/model_proxy/gunicorn.conf.py`).

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

_settings = _load()
_log.configure("proxy", level=_settings.log_level, as_json=_settings.log_json, secrets=_settings.secrets)
_log.capture()  # for gunicorn's first process, which serves nothing itself

_host, _port = _settings.model_proxy_bind
bind = [f"{'[' + _host + ']' if ':' in _host else _host}:{_port}"]
workers = _settings.model_proxy_processes
worker_class = "gevent"
worker_connections = 10_000
preload_app = False  # each worker builds its own container: connections and threads do not survive a fork
timeout = 60  # of the loop, not of a call: a worker whose loop stands still for so long is replaced
graceful_timeout = max(
    30, int(_settings.orphan_seconds)
)  # after SIGTERM answers on their way end: agents go on for so long
keepalive = 75
limit_request_line = 8190
limit_request_fields = 100
forwarded_allow_ips = ""
accesslog = None
errorlog = "-"
loglevel = "warning"
logger_class = "web.server_log.ServerLog"
proc_name = "paddock-proxy"


def when_ready(_server: Any) -> None:
    """Collect from now on, but not what was loaded: workers that looked at it would copy its memory."""
    gc.freeze()
    gc.enable()


def post_worker_init(_worker: Any) -> None:
    """Report this process from now on, and let it go when its calls have ended."""
    from web.model_proxy import wsgi as _wsgi  # made after the fork, and already loaded then

    _wsgi.watch(_worker)
