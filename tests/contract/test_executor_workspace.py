"""The workspace behind an executor: snapshots byte for byte, files, seeding, diff, commands, in both kinds of local sandbox."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import socket
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.adapters.httpx_executor import HttpxExecutor
from app.adapters.local_sandboxes import LocalSandboxes
from app.domain.manifest import NOTHING, ROOTS, Entry, Manifest
from app.domain.turn import Probe
from app.errors import Conflict, Invalid, NotFound
from app.ports import EVERY_GENERATION, ExecutorError
from tests.support.sandboxes import executor_pid, processes_of, python, said, spec, start, wait_for
from tests.support.waiting import eventually


def folder_of(sandboxes: LocalSandboxes, root: str = "workspace", name: str = "ses_1") -> Path:
    return sandboxes._sandbox(name) / root


def carry(source: HttpxExecutor, target: HttpxExecutor, manifest: Manifest) -> None:
    """Restore `manifest` of `source` at `target`."""
    missing = target.restore(manifest, clean=True)
    blobs = [(sha256, io.BytesIO(stream.read()), size) for sha256, stream, size in source.content(manifest, missing)]
    assert target.stage(blobs) == len(missing)
    assert target.restore(manifest, clean=True) == []


def picture(folder: Path) -> dict[bytes, tuple[object, ...]]:
    """Return everything below a folder: kind, mode, bytes or target."""
    found: dict[bytes, tuple[object, ...]] = {}
    for above, folders, names in os.walk(os.fsencode(folder)):
        for name in folders + names:
            path = os.path.join(above, name)
            mode = os.lstat(path).st_mode & 0o7777
            relative = os.path.relpath(path, os.fsencode(folder))
            if os.path.islink(path):
                found[relative] = ("link", os.readlink(path))
            elif os.path.isdir(path):
                found[relative] = ("folder", mode)
            else:
                with open(path, "rb") as file:
                    found[relative] = ("file", mode, file.read())
    return found


NAMES = st.sampled_from(
    [
        b"a",
        b"b",
        "ä".encode(),
        "a\u0308".encode(),
        "文件".encode(),
        b"\xff\xfe",
        b"-rf",
        b" ",
        b"\n",
        b"a b",
        b".hidden",
        b"CON",
        b'"',
    ]
)
FILES = st.tuples(st.just("file"), st.binary(max_size=64), st.sampled_from([0o644, 0o600, 0o755, 0o444, 0o400, 0o4755]))
LINKS = st.tuples(st.just("link"), st.sampled_from([b"a", b"../..", b"/etc/passwd", b"\xff", b"missing/x"]))
TREES = st.recursive(
    st.one_of(FILES, LINKS),
    lambda below: st.tuples(st.just("folder"), st.dictionaries(NAMES, below, max_size=4), st.sampled_from([0o755, 0o700, 0o500])),
    max_leaves=12,
)  # fmt: skip


def plant(folder: bytes, content: dict[bytes, tuple[object, ...]]) -> None:
    for name, node in content.items():
        path = os.path.join(folder, name)
        if node[0] == "link":
            os.symlink(node[1], path)  # type: ignore[call-overload]
        elif node[0] == "file":
            Path(os.fsdecode(path)).write_bytes(node[1])  # type: ignore[arg-type]
            os.chmod(path, node[2])  # type: ignore[arg-type]
        else:
            os.mkdir(path)
            plant(path, node[1])  # type: ignore[arg-type]
            os.chmod(path, node[2])  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.dictionaries(NAMES, TREES, max_size=5), after=st.dictionaries(NAMES, TREES, max_size=5))
def test_a_snapshot_restores_byte_for_byte_over_anything(
    sandboxes: LocalSandboxes, before: dict[bytes, tuple[object, ...]], after: dict[bytes, tuple[object, ...]]
) -> None:
    one, two = sandboxes.start(spec("one")), sandboxes.start(spec("two"))
    for executor in (one, two):
        executor.restore(NOTHING, clean=True)
    plant(os.fsencode(folder_of(sandboxes, name="one")), after)
    plant(os.fsencode(folder_of(sandboxes, "agent", name="one")), before)
    plant(os.fsencode(folder_of(sandboxes, name="two")), before)
    manifest = Manifest.from_json(one.scan(ROOTS, reason="test").as_json())
    assert not manifest.fuzzy
    manifest.check()
    carry(one, two, manifest)
    for root in ROOTS:
        assert picture(folder_of(sandboxes, root, "two")) == picture(folder_of(sandboxes, root, "one"))
    assert two.scan(ROOTS, reason="test").same_content(manifest)


def test_a_second_scan_sees_every_write(executor: HttpxExecutor, sandboxes: LocalSandboxes) -> None:
    for name in ("a", "b", "c"):
        executor.write_file(f"{name}.txt", b"same")
    first = executor.scan(ROOTS, reason="test")
    assert executor.scan(ROOTS, reason="test", known=first).same_stamps(first)
    path = folder_of(sandboxes) / "b.txt"
    found = path.stat()
    path.write_bytes(b"Same")
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    second = executor.scan(ROOTS, reason="test", known=first)
    assert not second.same_stamps(first)
    assert second.tree("workspace")[1].sha256 == hashlib.sha256(b"Same").hexdigest()


def test_special_files_are_left_out(executor: HttpxExecutor, sandboxes: LocalSandboxes) -> None:
    folder = folder_of(sandboxes)
    os.mkfifo(folder / "fifo")
    with socket.socket(socket.AF_UNIX) as made:
        descriptor = os.open(folder, os.O_PATH)
        made.bind(f"/proc/self/fd/{descriptor}/socket")
        os.close(descriptor)
    (folder / "file").write_bytes(b"x")
    assert [entry.path for entry in executor.scan(["workspace"], reason="test").tree("workspace")] == ["file"]
    assert [(entry["path"], entry["type"]) for entry in executor.tree("workspace", "")] == [
        ("fifo", "special"),
        ("file", "file"),
        ("socket", "special"),
    ]


def test_content_that_changed_since_the_scan_is_not_sent(executor: HttpxExecutor) -> None:
    for name, data in {"same": b"1", "longer": b"2", "other": b"3", "gone": b"4"}.items():
        executor.write_file(name, data)
    manifest = executor.scan(["workspace"], reason="test")
    executor.write_file("longer", b"22")
    executor.write_file("other", b"x")
    executor.delete("gone")
    sent = [(sha256, stream.read()) for sha256, stream, _ in executor.content(manifest, manifest.hashes())]
    assert sent == [(hashlib.sha256(b"1").hexdigest(), b"1")]


def test_content_is_found_wherever_it_still_is(executor: HttpxExecutor) -> None:
    executor.write_file("one", b"twin")
    executor.write_file("two", b"twin")
    manifest = executor.scan(["workspace"], reason="test")
    executor.write_file("two", b"else")
    assert [stream.read() for _, stream, _ in executor.content(manifest, manifest.hashes())] == [b"twin"]


def test_large_files_travel_in_parts(sandboxes: LocalSandboxes) -> None:
    one, two = sandboxes.start(spec("one")), sandboxes.start(spec("two"))
    data = os.urandom(1024) * (9 * 1024)
    (folder_of(sandboxes, name="one") / "large").write_bytes(data)
    carry(one, two, one.scan(ROOTS, reason="test"))
    assert (folder_of(sandboxes, name="two") / "large").read_bytes() == data


def test_a_restore_writes_nothing_while_content_is_missing(executor: HttpxExecutor, sandboxes: LocalSandboxes) -> None:
    executor.write_file("mine", b"mine")
    sha256 = hashlib.sha256(b"new").hexdigest()
    manifest = Manifest({"workspace": (Entry("new", "file", 0o644, 3, sha256),)}, 0.0)
    assert executor.restore(manifest, clean=True) == [sha256]
    assert picture(folder_of(sandboxes)).keys() == {b"mine"}
    assert executor.stage([(sha256, io.BytesIO(b"not"), 3)]) == 0
    assert executor.stage([(sha256, io.BytesIO(b"new"), 3)]) == 1
    assert executor.restore(manifest, clean=False) == []
    assert picture(folder_of(sandboxes)).keys() == {b"mine", b"new"}
    assert executor.restore(manifest, clean=True) == []
    assert picture(folder_of(sandboxes)).keys() == {b"new"}


@pytest.mark.parametrize("path", ["../out", "/etc/x", "a/../../out", "link/x"])
def test_a_manifest_cannot_write_outside(executor: HttpxExecutor, sandboxes: LocalSandboxes, path: str) -> None:
    entries = (Entry("link", "symlink", 0o777, target="/tmp"), Entry(path, "dir", 0o755))
    with pytest.raises(ExecutorError) as caught:
        executor.restore(Manifest({"workspace": entries}, 0.0), clean=True)
    assert caught.value.status == 422
    assert picture(folder_of(sandboxes)) == {}


BUSY = """
import subprocess, sys, time
subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', 'MARK'])
n = 0
while True:
    n += 1
    open('n', 'w').write(str(n))
    print(n)
    time.sleep(0.001)
"""


def test_freeze_and_halt_leave_the_executor_alone(executor: HttpxExecutor) -> None:
    mark = uuid.uuid4().hex
    start(executor, python(BUSY.replace("MARK", mark)))
    wait_for(executor, b"5")
    assert executor.scan(["workspace"], reason="test").fuzzy
    assert executor.freeze(True) >= 2
    frozen = executor.scan(["workspace"], reason="test")
    assert not frozen.fuzzy
    assert executor.scan(["workspace"], reason="test", known=frozen).same_stamps(frozen)
    last = executor.find_agent("run_1.1")
    assert executor.freeze(False) >= 2
    eventually(lambda: executor.find_agent("run_1.1") != last, what="the agent goes on")
    assert executor.halt() >= 2
    assert list(executor.follow("run_1.1", 0))[-1].json() == {"exit": "signal:9"}
    eventually(lambda: not processes_of(mark), what="nothing of the agent is left")
    assert not executor.scan(["workspace"], reason="test").fuzzy
    start(executor, python("print('again')"), "run_1.2")
    assert said(list(executor.follow("run_1.2", 0))) == [b"again"]


def test_an_upload_whose_executor_is_killed_leaves_nothing(sandboxes: LocalSandboxes) -> None:
    sandboxes.start(spec()).write_file("old.txt", b"old")
    box, running = sandboxes._sandbox("ses_1"), sandboxes._read("ses_1")
    assert running is not None
    for name in ("new.txt", "old.txt"):
        sandboxes.start(spec())
        half = half_an_upload(sandboxes, name)
        os.kill(executor_pid(sandboxes), signal.SIGKILL)
        eventually(lambda: sandboxes.connect("ses_1") is None, what="the executor is gone")
        half.close()
        assert os.listdir(box / "workspace") == ["old.txt"]
    assert (box / "workspace/old.txt").read_bytes() == b"old"


def half_an_upload(sandboxes: LocalSandboxes, name: str) -> socket.socket:
    """Send the first half of a file, and wait until the executor writes it."""
    reach = sandboxes.reach("ses_1")
    assert reach is not None
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(reach.socket))
    head = f"PUT /workspace/file?path={name} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {reach.token}\r\n"
    head += f"x-paddock-generation: {reach.generation}\r\nContent-Length: 2000000\r\n\r\n"
    connection.sendall(head.encode() + b"x" * 1_000_000)
    pid = executor_pid(sandboxes)

    def writes() -> bool:
        sizes = [os.stat(f"/proc/{pid}/fd/{number}").st_size for number in os.listdir(f"/proc/{pid}/fd")]
        return any(size >= 500_000 for size in sizes)

    eventually(writes, what="the executor writes the upload", ignore=(FileNotFoundError,))
    return connection


def test_a_halt_refuses_what_people_write_until_a_thaw(executor: HttpxExecutor) -> None:
    executor.write_file("a.txt", b"before")
    executor.halt()
    before = executor.scan(["workspace"], reason="test")
    for write in (
        lambda: executor.write_file("a.txt", b"after"),
        lambda: executor.make_folder("after"),
        lambda: executor.rename("a.txt", "after.txt"),
        lambda: executor.execute("touch after", cwd="/workspace", timeout_ms=1000),
    ):
        with pytest.raises((Conflict, ExecutorError)) as refused:
            write()
        assert refused.value.code == "worker_not_active"
    assert executor.scan(["workspace"], reason="test", known=before).same_stamps(before)
    executor.freeze(False)
    executor.write_file("a.txt", b"after")
    assert executor.read_file("a.txt", offset=0, limit=10)[0] == b"after"


def test_a_command_under_way_at_a_halt_has_ended_when_that_is_answered(executor: HttpxExecutor) -> None:
    with ThreadPoolExecutor(1) as threads:
        typing = threads.submit(lambda: executor.execute("sleep 60; echo late > late.txt", cwd="/", timeout_ms=60_000))
        eventually(lambda: executor.scan(["workspace"], reason="test").fuzzy, what="the command runs")
        executor.halt()
        assert typing.result(10).exit_code != 0
    assert not executor.scan(["workspace"], reason="test").fuzzy


# --- files -----------------------------------------------------------------------------------------------------------------


def test_files_are_read_and_written(executor: HttpxExecutor) -> None:
    executor.write_file("deep/er/a.txt", b"0123456789")
    data, facts = executor.read_file("/workspace/deep/er/a.txt", offset=2, limit=3)
    assert (data, facts) == (b"234", {"size": 10, "mode": 0o644})
    assert executor.read_file("deep/er/a.txt", offset=20, limit=3)[0] == b""
    executor.make_folder("empty")
    executor.rename("deep/er/a.txt", "empty/b.txt")
    with pytest.raises(Conflict):
        executor.rename("empty/b.txt", "deep")
    assert [entry["path"] for entry in executor.tree("workspace", "empty")] == ["empty/b.txt"]
    executor.delete("deep")
    assert [entry["path"] for entry in executor.tree("workspace", "")] == ["empty"]
    with pytest.raises(NotFound):
        executor.read_file("deep/er/a.txt", offset=0, limit=1)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "link/passwd", "a/../../x"])
def test_paths_outside_are_refused_everywhere(executor: HttpxExecutor, sandboxes: LocalSandboxes, path: str) -> None:
    (folder_of(sandboxes) / "link").symlink_to("/etc")
    executor.write_file("a.txt", b"x")
    for act in (
        lambda: executor.read_file(path, offset=0, limit=10),
        lambda: executor.write_file(path, b"x"),
        lambda: executor.tree("workspace", path),
        lambda: executor.make_folder(path),
        lambda: executor.rename("a.txt", path),
        lambda: executor.rename(path, "b.txt"),
        lambda: executor.delete(path),
    ):
        with pytest.raises(Invalid) as caught:
            act()
        assert caught.value.code == "path_outside"


def test_an_effect_meant_for_another_generation_is_refused(executor: HttpxExecutor, sandboxes: LocalSandboxes) -> None:
    running = sandboxes._read("ses_1")
    assert running is not None
    from app.adapters.executor_address import ExecutorAddress

    late = HttpxExecutor(ExecutorAddress(running.token, 0, socket=folder_of(sandboxes, "run") / "executor.sock"))
    with pytest.raises(ExecutorError) as caught:
        late.write_file("x", b"x")
    assert (caught.value.status, caught.value.code) == (409, "wrong_generation")
    assert late.tree("workspace", "") == []
    late.close()


def test_required_paths_and_agent_data_are_looked_up(executor: HttpxExecutor, sandboxes: LocalSandboxes) -> None:
    executor.write_file("src/a", b"x")
    wanted = ["/workspace/src", "/workspace/src/a", "/workspace/none", "/home/agent/none", "/workspace"]
    assert executor.validate(wanted) == ["/workspace/none", "/home/agent/none"]
    with pytest.raises(ExecutorError):
        executor.validate(["/etc/passwd"])
    transcript = folder_of(sandboxes, "agent") / ".claude/projects/p/s.jsonl"
    transcript.parent.mkdir(parents=True)
    transcript.write_bytes(b"x" * 300_000 + b"needle")
    probes = [Probe(".claude/projects/*/s.jsonl", "needle"), Probe("*/s.jsonl", "other"), Probe("none", "x")]
    found = executor.link_agent_data(probes)
    assert [(result.exists, result.contains) for result in found] == [(True, True), (True, False), (False, False)]


# --- commands --------------------------------------------------------------------------------------------------------------


def test_a_command_answers_with_its_output_and_code(executor: HttpxExecutor) -> None:
    executor.write_file("d/a", b"x")
    done = executor.execute("ls; echo no >&2; exit 7", cwd="/workspace/d", timeout_ms=10_000)
    assert (done.stdout, done.stderr, done.exit_code, done.timed_out) == ("a\n", "no\n", 7, False)


def test_a_command_that_takes_too_long_is_killed_with_its_children(executor: HttpxExecutor) -> None:
    mark = f"6{uuid.uuid4().int % 10**8}"
    done = executor.execute(f"echo begun; setsid sleep {mark} & sleep {mark}", cwd="/workspace", timeout_ms=300)
    assert (done.stdout, done.exit_code, done.timed_out) == ("begun\n", None, True)
    eventually(lambda: not processes_of(mark), what="no process of the command")


# --- git -------------------------------------------------------------------------------------------------------------------


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "a.txt").write_text("one\n")
    (folder / ".gitignore").write_text("*.log\n")
    (folder / ".gitattributes").write_text("*.txt filter=evil diff=evil\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    git(folder, "tag", "v1")
    (folder / "a.txt").write_text("two\n")
    git(folder, "commit", "-qam", "second")
    git(folder, "branch", "side", "v1")
    git(folder, "bundle", "create", "-q", "../b.bundle", "--all", "HEAD")
    return folder


def bundle(repository: Path) -> io.BytesIO:
    return io.BytesIO((repository.parent / "b.bundle").read_bytes())


@pytest.mark.parametrize(
    ("ref", "branch", "text"), [(None, "main", b"two\n"), ("side", "side", b"one\n"), ("v1", "", b"one\n")]
)
def test_a_bundle_fills_the_workspace(
    executor: HttpxExecutor, repository: Path, ref: str | None, branch: str, text: bytes
) -> None:
    seeded = executor.seed(bundle=bundle(repository), ref=ref)
    assert seeded == {"head": git(repository, "rev-parse", ref or "main"), "branch": branch}
    assert executor.read_file("a.txt", offset=0, limit=10)[0] == text
    assert executor.execute("git status --porcelain", cwd="/workspace", timeout_ms=10_000).stdout == ""
    assert executor.seed(bundle=bundle(repository), ref=ref) == seeded
    with pytest.raises(ExecutorError) as caught:
        executor.seed(bundle=bundle(repository), ref="main~0")
    assert caught.value.code == "workspace_not_empty"


def test_a_commit_can_be_asked_for(executor: HttpxExecutor, repository: Path) -> None:
    commit = git(repository, "rev-parse", "v1")
    assert executor.seed(bundle=bundle(repository), ref=commit) == {"head": commit, "branch": ""}


@pytest.mark.parametrize("ref", ["missing", "--upload-pack=touch /tmp/x", "a..b", "-b"])
def test_an_unknown_ref_leaves_the_workspace_empty(executor: HttpxExecutor, repository: Path, ref: str) -> None:
    with pytest.raises(ExecutorError) as caught:
        executor.seed(bundle=bundle(repository), ref=ref)
    assert (caught.value.status, caught.value.code) == (422, "repository_unusable")
    assert executor.tree("workspace", "") == []
    assert executor.seed(bundle=bundle(repository))["branch"] == "main"


@pytest.mark.parametrize(
    "url", ["file:///etc", "/etc", "ext::sh -c true", "http://127.0.0.1:1/x.git", "-u", "git://127.0.0.1/x", "fd::3"]
)
def test_an_address_that_is_no_repository_is_refused(executor: HttpxExecutor, url: str) -> None:
    with pytest.raises(ExecutorError) as caught:
        executor.seed(url=url)
    assert (caught.value.status, caught.value.code) == (422, "repository_unusable")
    assert caught.value.message
    assert executor.tree("workspace", "") == []


def test_something_that_is_no_bundle_is_refused(executor: HttpxExecutor) -> None:
    with pytest.raises(ExecutorError) as caught:
        executor.seed(bundle=io.BytesIO(b"no bundle at all"))
    assert caught.value.code == "repository_unusable"
    assert executor.tree("workspace", "") == []


def test_a_diff_shows_what_changed_since_the_seed(executor: HttpxExecutor, repository: Path) -> None:
    head = executor.seed(bundle=bundle(repository))["head"]
    assert executor.diff() == {"baseline": head, "patch": "", "truncated": False, "files": []}
    executor.write_file("a.txt", b"two\nthree\n")
    executor.write_file("new/文件.bin", b"\0\1")
    executor.write_file("x.log", b"ignored")
    executor.delete(".gitignore")
    executor.write_file(".gitignore", b"*.log\n")
    executor.delete(".gitattributes")
    touched = "touch /workspace/hooked; exit 1"
    executor.execute(
        f"git config filter.evil.clean '{touched}'; git config diff.evil.textconv '{touched}'; git config core.fsmonitor '{touched}';"
        " git -c user.name=a -c user.email=b commit -qam agent; git update-index --assume-unchanged a.txt",
        cwd="/workspace",
        timeout_ms=20_000,
    )
    executor.execute("rm -f hooked", cwd="/workspace", timeout_ms=10_000)
    found = executor.diff()
    assert found["baseline"] == head
    assert [tuple(file.values()) for file in found["files"]] == [
        (".gitattributes", "deleted", 0, 1),
        ("a.txt", "modified", 1, 0),
        ("new/文件.bin", "added", None, None),
    ]
    assert "+three\n" in found["patch"]
    assert "hooked" not in [entry["path"] for entry in executor.tree("workspace", "")]


def test_a_restored_sandbox_knows_its_seed_again(sandboxes: LocalSandboxes, repository: Path) -> None:
    one, two = sandboxes.start(spec("one")), sandboxes.start(spec("two"))
    head = one.seed(bundle=bundle(repository))["head"]
    one.write_file("b.txt", b"x\n")
    carry(one, two, one.scan(ROOTS, reason="test"))
    assert two.diff(baseline=head) == one.diff()


def test_without_a_seed_everything_is_new(executor: HttpxExecutor) -> None:
    assert executor.diff() == {"baseline": None, "patch": "", "truncated": False, "files": []}
    executor.write_file("a.txt", b"one\n")
    assert executor.diff()["files"] == [{"path": "a.txt", "status": "added", "additions": 1, "deletions": 0}]


PLANTED = {
    "hook": "",
    "fsmonitor": "core.fsmonitor",
    "external": "diff.external",
    "driver": "diff.own.command",
    "textconv": "diff.evil.textconv",
    "clean": "filter.evil.clean",
    "smudge": "filter.evil.smudge",
    "remote": "remote.evil.uploadpack",
}
"""What a repository can have git run, by the name of its mark, with the setting that names the command."""
HOOKS = ("post-checkout", "post-commit", "post-index-change", "reference-transaction", "pre-commit")


class PlantedRepository:
    """The repository of a seeded workspace, after an agent has put commands wherever git would run one. Each leaves its mark."""

    def __init__(self, sandboxes: LocalSandboxes, repository: Path, hooks: str) -> None:
        self.sandboxes, self.hooks = sandboxes, hooks
        self.executor = sandboxes.start(spec())
        self.head = self.executor.seed(bundle=bundle(repository))["head"]
        self.places = [folder_of(sandboxes), folder_of(sandboxes, name="two")]
        self._plant(folder_of(sandboxes))

    def _plant(self, folder: Path) -> None:
        (folder / ".git" / hooks_folder(self.hooks)).mkdir(parents=True, exist_ok=True)
        for name in HOOKS:
            hook = folder / ".git" / hooks_folder(self.hooks) / name
            hook.write_text(f"#!/bin/sh\n{self._leave_mark('hook')}\n")
            hook.chmod(0o755)
        if self.hooks == "core.hooksPath":
            git(folder, "config", "core.hooksPath", f".git/{hooks_folder(self.hooks)}")
        (folder / ".gitattributes").write_text("*.txt filter=evil diff=evil\n*.own diff=own\n")
        (folder / "a.txt").write_text("two\nthree\n")
        (folder / "new.own").write_text("new\n")
        git(folder, "config", "extensions.partialClone", "evil")
        git(folder, "config", "core.repositoryFormatVersion", "1")
        git(folder, "config", "remote.evil.url", ".")
        git(folder, "config", "remote.evil.promisor", "true")
        for mark, setting in PLANTED.items():
            if setting:
                goes_on = "exit 1;" if mark == "remote" else "cat; true"
                git(folder, "config", setting, f"{self._leave_mark(mark)}; {goes_on}")

    def _leave_mark(self, mark: str) -> str:
        seen_from_inside = [Path("/workspace"), *self.places]
        return f"touch {' '.join(str(place / f'ran-{mark}') for place in seen_from_inside)} 2>/dev/null </dev/null"

    def marks(self) -> set[str]:
        return {path.name.removeprefix("ran-") for place in self.places for path in place.glob("ran-*")}

    def use_plain_git(self) -> None:
        """Do with git what any person would do."""
        missing = "1" * 40
        for line in (
            "git status",
            "git -c user.name=a -c user.email=b commit --allow-empty -qm more",
            "git diff",
            "git add new.own; git diff --cached -- new.own",
            "git -c diff.external= diff --cached -- new.own",
            "git log -p --no-ext-diff --textconv",
            "git add a.txt",
            "rm a.txt; git checkout HEAD -- a.txt",
            f"git cat-file -p {missing}",
        ):
            self.executor.execute(line, cwd="/workspace", timeout_ms=20_000)


def hooks_folder(hooks: str) -> str:
    return "hooks" if hooks == ".git/hooks" else "elsewhere"


@pytest.fixture(params=[".git/hooks", "core.hooksPath"])
def planted(request: pytest.FixtureRequest, sandboxes: LocalSandboxes, repository: Path) -> PlantedRepository:
    return PlantedRepository(sandboxes, repository, request.param)


def test_nothing_planted_in_the_workspace_s_repository_is_run(planted: PlantedRepository, repository: Path) -> None:
    sandboxes, executor = planted.sandboxes, planted.executor
    changed = executor.diff()
    assert [file["path"] for file in changed["files"]] == [".gitattributes", "a.txt", "new.own"]
    assert executor.seed(bundle=bundle(repository))["head"] == planted.head
    manifest = executor.scan(ROOTS, reason="test")
    sandboxes.stop("ses_1", EVERY_GENERATION)
    assert sandboxes.start(spec()).diff() == changed

    two = sandboxes.start(spec("two"))
    carry(sandboxes.start(spec()), two, manifest)
    assert two.diff(baseline=planted.head) == changed
    with pytest.raises(ExecutorError):
        two.seed(bundle=bundle(repository))
    assert planted.marks() == set()

    planted.executor = sandboxes.start(spec())
    planted.use_plain_git()
    assert planted.marks() == set(PLANTED)


def test_a_diff_asks_no_remote_of_the_workspace_for_what_is_missing(planted: PlantedRepository) -> None:
    two = planted.sandboxes.start(spec("two"))
    carry(planted.executor, two, planted.executor.scan(ROOTS, reason="test"))
    copy = planted.places[1]
    tree = git(copy, "rev-parse", f"{planted.head}^{{tree}}")
    for pack in (copy / ".git/objects/pack").iterdir():
        if pack.suffix == ".pack":
            content = pack.read_bytes()
            pack.unlink()
            subprocess.run(["git", "unpack-objects", "-q"], cwd=copy, input=content, check=True)
        else:
            pack.unlink()
    (copy / ".git/objects" / tree[:2] / tree[2:]).unlink()
    for mark in copy.glob("ran-*"):
        mark.unlink()
    with pytest.raises(Invalid):
        two.diff(baseline=planted.head)
    assert planted.marks() == set()
    two.execute(f"git cat-file -p {tree}", cwd="/workspace", timeout_ms=20_000)
    assert planted.marks() == {"remote"}


def test_what_the_agent_set_up_for_itself_is_not_used_to_seed(
    sandboxes: LocalSandboxes, executor: HttpxExecutor, repository: Path
) -> None:
    home, workspace = folder_of(sandboxes, "agent"), folder_of(sandboxes)
    set_up = f"touch /workspace/ran-hook; touch {workspace}/ran-hook"
    executor.execute(
        "mkdir -p ~/hooks && git config --global core.hooksPath ~/hooks"
        f" && printf '#!/bin/sh\n{set_up}\n' | tee ~/hooks/post-checkout > ~/hooks/post-commit && chmod 755 ~/hooks/*",
        cwd="/workspace",
        timeout_ms=10_000,
    )
    assert list(home.rglob("post-checkout"))
    executor.seed(bundle=bundle(repository))
    assert not (workspace / "ran-hook").exists()
    executor.execute(
        "git -c user.name=a -c user.email=b commit --allow-empty -qm more", cwd="/workspace", timeout_ms=10_000
    )
    assert (workspace / "ran-hook").exists()
