"""Bad input against a whole installation: each gets a problem with a code and a remedy, or a failed run that says why, and leaves
nothing half-made behind."""

from __future__ import annotations

import io
import subprocess
import tarfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import peewee
import pytest

from app.models import SessionWorker
from app.models.table import Table
from tests import cast, factories
from tests.support.model_server import ModelServer
from tests.support.model_server.server import MISSING_MODEL
from tests.support.stack import Stack, claude_code, stack
from tests.support.waiting import eventually

MEGABYTE = 1_048_576
START = "/api/runs/start"
FOREIGN = "ses_of_another_tenant"
"""Stands for a real id that only the running installation knows."""


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    settings = {"PADDOCK_WEB_PROCESSES": "1", "PADDOCK_WORKER_PROCESSES": "1", "PADDOCK_REPO_HOSTS": "localhost"}
    settings["CLAUDE_CODE_MAX_RETRIES"] = "1"
    with ModelServer() as model, stack({**settings, **claude_code(model)}) as started:
        yield started


@pytest.fixture
def api(running: Stack) -> Iterator[httpx.Client]:
    with running.client() as client:
        yield client


@pytest.fixture(scope="module")
def a_run(running: Stack) -> dict[str, Any]:
    """A run that has ended, in a session whose agent has left links that lead out of the workspace."""
    links = "ln -s /etc/passwd leak; ln -s /etc folder; mkdir inside; ln -s /etc/passwd inside/leak; ln -s ../../.. up"
    body = {"provider": "scripted", "prompt": f"/run {links}", "providerOptions": {"approval": "all"}}
    with running.client() as api:
        run: dict[str, Any] = post(api, START, body).json()
    assert run["status"] == "succeeded"
    return run


@pytest.fixture(scope="module")
def foreign(running: Stack) -> str:
    """A session of another tenant."""
    with running.opened():
        return factories.session(cast.assemble().charlie).id


def post(
    api: httpx.Client, path: str, body: Any = None, key: str | None = None, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    return api.post(path, json=body or {}, headers={"Idempotency-Key": key or uuid.uuid4().hex, **(headers or {})})


def assert_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text[:2000]
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["code"], problem["status"]) == (code, status), problem
    for word in ("type", "title", "detail", "requestId", "remedy"):
        assert problem[word], word


def assert_failed(run: Mapping[str, Any], code: str, remedy: str) -> None:
    assert (run["status"], run["failureCode"]) == ("failed", code), run
    assert remedy in run["remedy"]
    assert run["failureClass"]


def rows(running: Stack) -> dict[str, int]:
    """Count what there is: rows of every table, sandboxes, stored objects."""
    tables: list[type[peewee.Model]] = list(Table.__subclasses__())
    assert len(tables) > 10
    with running.opened() as container:
        counts = {table.__name__: int(table.select().count()) for table in tables}
        counts["sandboxes"] = len(list((running.var / "sandboxes").glob("*")))
        counts["objects"] = sum(path.is_file() for path in (container.settings.root / "objects").rglob("*"))
    return counts


@contextmanager
def nothing_made(running: Stack) -> Iterator[None]:
    before = rows(running)
    yield
    assert rows(running) == before


# --- refused before anything is made -----------------------------------------------------------------------------------------

CREATIONS: dict[str, tuple[dict[str, Any], int, str]] = {
    "unknown provider": ({"provider": "nobody"}, 422, "provider_unknown"),
    "model that is no name": ({"provider": "claude-code", "model": "a\nb"}, 422, "validation_failed"),
    "empty prompt": ({"prompt": " \n "}, 422, "prompt_empty"),
    "prompt that is no text": ({"prompt": 7}, 422, "validation_failed"),
    "unknown field": ({"promt": "x"}, 422, "validation_failed"),
    "unknown session": ({"sessionId": "ses_01ARZ3NDEKTSV4RRFFQ69G5FAV"}, 404, "not_found"),
    "foreign session": ({"sessionId": FOREIGN}, 404, "not_found"),
    "unknown bundle": ({"repo": {"bundleId": "bdl_01ARZ3NDEKTSV4RRFFQ69G5FAV"}}, 404, "not_found"),
    "path as repository": ({"repo": {"url": "/etc"}}, 422, "repo_address_refused"),
    "file as repository": ({"repo": {"url": "file:///etc"}}, 422, "repo_address_refused"),
    "host not admitted": ({"repo": {"url": "https://example.com/a/b.git"}}, 422, "repo_address_refused"),
    "metadata service": ({"repo": {"url": "http://169.254.169.254/latest"}}, 422, "repo_address_refused"),
    "option as ref": (
        {"repo": {"url": "https://localhost/a.git", "ref": "--upload-pack=x"}},
        422,
        "repo_ref_invalid",
    ),
    "unknown app": ({"executionProfile": "app_nope"}, 404, "not_found"),
    "prompt of 10 MB": ({"prompt": "x" * 10 * MEGABYTE}, 413, "body_too_large"),
}


@pytest.mark.parametrize("name", CREATIONS)
def test_a_creation_that_cannot_be_is_refused_and_its_key_is_free_again(
    running: Stack, api: httpx.Client, foreign: str, name: str
) -> None:
    fields, status, code = CREATIONS[name]
    body = {"provider": "scripted", "prompt": "hello", **fields}
    if fields.get("sessionId") == FOREIGN:
        body["sessionId"] = foreign
    key = uuid.uuid4().hex
    with nothing_made(running):
        for accept in ("application/json", "text/event-stream"):
            assert_problem(post(api, START, body, key, {"Accept": accept}), status, code)
    mended = post(api, START, {"provider": "scripted", "prompt": "hello"}, key)
    assert mended.status_code == 200, mended.text
    assert "Idempotent-Replay" not in mended.headers


def test_a_foreign_session_looks_exactly_like_an_absent_one(api: httpx.Client, foreign: str) -> None:
    for path in ("/api/session-workers/{}", "/api/session-workers/{}/workspace/tree", "/api/chat-opencode-history/{}"):
        answers = [api.get(path.format(session)) for session in (foreign, "ses_01ARZ3NDEKTSV4RRFFQ69G5FAV")]
        first, second = ({**answer.json(), "requestId": ""} for answer in answers)
        assert_problem(answers[0], 404, "not_found")
        assert first == second


def test_ten_megabytes_that_do_not_say_how_long_they_are_are_refused(running: Stack, api: httpx.Client) -> None:
    def drip() -> Iterator[bytes]:
        yield b'{"provider": "scripted", "prompt": "'
        for _ in range(10):
            yield b"x" * MEGABYTE
        yield b'"}'

    headers = {"Idempotency-Key": uuid.uuid4().hex, "Content-Type": "application/json"}
    with nothing_made(running):
        answer = api.post(START, content=drip(), headers=headers)
        assert_problem(answer, 413, "body_too_large")


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"not json", {}, 400, "body_malformed"),
        (b'{"prompt": "x"}', {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
        (b'{"prompt": "x", "provider": "scripted"}', {"Idempotency-Key": ""}, 400, "idempotency_key_malformed"),
    ],
)
def test_a_body_that_is_not_what_it_should_be(
    running: Stack, api: httpx.Client, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    given = {"Idempotency-Key": uuid.uuid4().hex, "Content-Type": "application/json", **headers}
    with nothing_made(running):
        assert_problem(api.post(START, content=content, headers=given), status, code)


def test_ten_megabytes_that_are_no_bundle_are_refused(running: Stack, api: httpx.Client) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex, "Content-Type": "application/x-git-bundle"}
    with nothing_made(running):
        answer = api.post("/api/bundles", content=b"\0" * 10 * MEGABYTE, headers=headers)
        assert_problem(answer, 422, "bundle_invalid")


@pytest.mark.parametrize("cursor", ["abc", "-1", "1.5", "٣", "1e3", "9" * 40, "1 or 1=1"])
def test_a_malformed_cursor_is_refused_wherever_cursors_are_taken(
    running: Stack, api: httpx.Client, a_run: dict[str, Any], cursor: str
) -> None:
    below = f"/api/runs/{a_run['runId']}"
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AQIDBAUGBwgJCgsMDQ4PEA==",
    }
    for path in (f"{below}/events", f"{below}/stream", f"{below}/todos/events"):
        assert_problem(api.get(path, params={"cursor": cursor}), 422, "cursor_malformed")
    socket = api.get(f"/ws/runs/{a_run['runId']}", params={"cursor": cursor}, headers=upgrade)
    assert_problem(socket, 422, "cursor_malformed")
    assert_problem(api.get(f"{below}/stream", headers={"Last-Event-ID": cursor.encode()}), 422, "cursor_malformed")


@pytest.mark.parametrize("path", ["/api/runs", "/api/session-workers", "/api/chat-opencode-history"])
def test_a_malformed_cursor_of_a_list_is_refused(api: httpx.Client, path: str) -> None:
    assert_problem(api.get(path, params={"cursor": "no cursor"}), 422, "cursor_malformed")


# --- paths that lead out of the workspace ------------------------------------------------------------------------------------

OUTSIDE = (
    "..",
    "../../../etc/passwd",
    "a/../../etc/passwd",
    "/etc/passwd",
    "/workspace/../etc/passwd",
    "/proc/self/root/etc/passwd",
    "up/etc/passwd",
    "folder/passwd",
    "leak",
    "inside/leak",
    "inside/../leak",
    "..\\..\\etc\\passwd",
    "%2e%2e/%2e%2e/etc/passwd",
    "a\0b",
    "~root",
    "x" * 5000,
)
CONTENT_OF_PASSWD = b"root:"


def assert_nothing_outside_is_read(api: httpx.Client, session_id: str) -> None:
    below = f"/api/session-workers/{session_id}/workspace"
    for path in OUTSIDE:
        for route in ("tree", "file", "download"):
            answer = api.get(f"{below}/{route}", params={"path": path})
            assert CONTENT_OF_PASSWD not in answer.content, (route, path)
            assert 400 <= answer.status_code < 500, (route, path, answer.status_code, answer.text[:300])
            assert_problem(answer, answer.status_code, answer.json()["code"])
    diff = api.get(f"{below}/diff")
    assert diff.status_code == 200
    assert CONTENT_OF_PASSWD not in diff.content
    names = {entry["name"]: entry["type"] for entry in api.get(f"{below}/tree").json()["entries"]}
    assert names["leak"] == names["folder"] == names["up"] == "symlink"
    whole = api.get(f"{below}/download", params={"compression": "none"}).content
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        members = {member.name for member in archive}
    assert "inside" in members
    assert not members & {"leak", "folder", "up", "inside/leak"}  # an archive must not lead out of where it is unpacked
    assert CONTENT_OF_PASSWD not in whole


def test_no_path_leads_out_of_a_running_or_a_stopped_workspace(api: httpx.Client, a_run: dict[str, Any]) -> None:
    session = f"/api/session-workers/{a_run['sessionId']}"
    assert api.get(session).json()["status"] == "running"
    assert_nothing_outside_is_read(api, a_run["sessionId"])
    assert post(api, f"{session}/stop").json()["status"] == "stopped"
    assert_nothing_outside_is_read(api, a_run["sessionId"])
    assert api.get(session).json()["status"] == "stopped"  # looking never starts a sandbox


# --- what only the sandbox or the agent can see ------------------------------------------------------------------------------


@pytest.mark.real_agent
def test_a_model_that_the_endpoint_does_not_serve_fails_the_run_with_a_remedy(api: httpx.Client) -> None:
    body = {"provider": "claude-code", "prompt": "hello", "model": MISSING_MODEL}
    run = post(api, START, body).json()
    assert_failed(run, "model_invalid", "ANTHROPIC_MODEL")
    mended = {"provider": "claude-code", "prompt": "hello", "model": "claude-sonnet-4-5"}
    again = post(api, START, {**mended, "sessionId": run["sessionId"]}).json()
    assert again["status"] == "succeeded"


def test_an_address_without_a_repository_fails_the_run_and_leaves_no_sandbox_busy(
    running: Stack, api: httpx.Client
) -> None:
    body = {"provider": "scripted", "prompt": "hello", "repo": {"url": "https://localhost/none.git"}}
    run = post(api, START, body).json()
    assert_failed(run, "setup_failed", "repository")
    with running.opened():
        worker = SessionWorker.get_by_id(run["sessionId"])
        eventually(lambda: SessionWorker.get_by_id(worker.session_id).lease_until is None, what="the lease's end")


def test_a_bundle_without_the_wanted_ref_fails_the_run_with_a_remedy(api: httpx.Client, tmp_path: Path) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.com"]
    for words in (
        ["init", "-q"],
        ["commit", "-q", "--allow-empty", "-m", "one"],
        ["bundle", "create", "-q", "b", "--all"],
    ):
        subprocess.run([*git, *words], check=True)
    headers = {"Idempotency-Key": uuid.uuid4().hex, "Content-Type": "application/x-git-bundle"}
    bundle = api.post("/api/bundles", content=(tmp_path / "b").read_bytes(), headers=headers).json()
    repo = {"bundleId": bundle["bundleId"], "ref": "no-such-branch"}
    run = post(api, START, {"provider": "scripted", "prompt": "hello", "repo": repo}).json()
    assert_failed(run, "setup_failed", "ref")


# --- last, because they start the installation anew with other settings --------------------------------------------------------


@contextmanager
def started_with(running: Stack, **env: str) -> Iterator[None]:
    before = dict(running.env)
    running.env.update(env)
    running.down()  # what the last start was told holds until a start from nothing
    running.up()
    yield
    running.env.clear()
    running.env.update(before)


@pytest.mark.parametrize(
    ("env", "code", "words"),
    [
        ({"PADDOCK_CLAUDE_CODE_PATH": "/nowhere/claude"}, "provider_not_ready", "PADDOCK_CLAUDE_CODE_PATH"),
        ({"ANTHROPIC_API_KEY": ""}, "auth_missing", "ANTHROPIC_API_KEY"),
    ],
)
def test_without_binary_or_key_nothing_is_made_and_the_remedy_names_the_setting(
    running: Stack, env: dict[str, str], code: str, words: str
) -> None:
    with started_with(running, **env), running.client() as api:
        key = uuid.uuid4().hex
        with nothing_made(running):
            answer = post(api, START, {"provider": "claude-code", "prompt": "hello"}, key)
            assert_problem(answer, 422, code)
            assert words in answer.json()["remedy"]
            done = running.paddock("run", "--provider", "claude-code", "hello")
            assert done.returncode == 2
            assert words in done.stderr
        (claude,) = (p for p in api.get("/api/providers").json()["items"] if p["kind"] == "claude-code")
        assert words in claude["remedy"]
        scripted = post(api, START, {"provider": "scripted", "prompt": "hello"}, key)
        assert scripted.json()["status"] == "succeeded"  # one provider's lack stops no other
