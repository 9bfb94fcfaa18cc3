"""Seeding a new session's workspace from a git repository: an uploaded bundle, or an address that the sandbox clones.

Only ever the first content of a session: everything later comes from its snapshots. Address and ref are checked again
here, because what a host name stands for may have changed since the session was made (promise S12).
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import closing

from app.domain import repo_address
from app.errors import Invalid, NotFound
from app.log import logger
from app.models import Bundle, ChatSession
from app.ports import ExecutorError, ObjectStore, WorkspaceHost


class Seeding:
    """`repo_hosts` is the operator's allow-list of hosts (PADDOCK_REPO_HOSTS)."""

    def __init__(self, store: ObjectStore, repo_hosts: str) -> None:
        self._store, self._repo_hosts = store, repo_hosts

    def seed(self, host: WorkspaceHost, session: ChatSession) -> str | None:
        """Fill the empty workspace with the session's repository and return its commit; None where it has none.

        Raises Invalid `repo_unavailable` where
        the repository cannot be cloned, `repo_address_refused`, `bundle_missing`; Unavailable (store); ExecutorError."""
        if session.bundle_id is None and session.repo_url is None:
            return None
        try:
            facts = self._from_bundle(host, session) if session.bundle_id else self._from_address(host, session)
        except ExecutorError as error:
            if error.kind == "http" and error.status is not None and error.status < 500:
                raise _unavailable(session, error.message) from error
            raise
        logger.info("workspace seeded", session_id=session.id, **{f"git_{name}": fact for name, fact in facts.items()})
        return facts["head"]

    def _from_bundle(self, host: WorkspaceHost, session: ChatSession) -> dict[str, str]:
        bundle = Bundle.get_or_none(Bundle.id == session.bundle_id, Bundle.tenant_id == session.tenant_id)
        if bundle is None:
            raise _bundle_missing()
        try:
            stream = self._store.get(bundle.object_key)
        except NotFound as error:
            raise _bundle_missing() from error
        with closing(stream):
            return dict(host.seed(bundle=stream, ref=session.repo_ref))

    def _from_address(self, host: WorkspaceHost, session: ChatSession) -> dict[str, str]:
        url = repo_address.check(str(session.repo_url), self._repo_hosts, resolve)
        return dict(host.seed(url=url, ref=session.repo_ref))


def resolve(host: str) -> Iterable[str]:
    """Return the addresses of a host name, as `repo_address.check` wants them."""
    return {str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}


def _unavailable(session: ChatSession, message: str) -> Invalid:
    what = session.repo_url or "the uploaded bundle"
    return Invalid(
        "repo_unavailable",
        f"The workspace could not be filled from {what}: {message or 'git gave no reason'}",
        remedy="Check that the repository and the ref exist and can be read without a password, then start a new session.",
    )


def _bundle_missing() -> Invalid:
    return Invalid(
        "bundle_missing", "The uploaded bundle is not there any more.", remedy="Upload it again for a new session."
    )
