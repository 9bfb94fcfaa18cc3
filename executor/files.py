"""Every access to a path that came from outside: walked from the root by openat and O_NOFOLLOW, never checked and then opened.

A symlink in the middle of a path is followed by hand, one component at a time and from the root's descriptor down, so it can
lead anywhere below the root and nowhere else, whatever is swapped meanwhile.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from executor.refusal import Refused

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LINKS = 40
_NO_NAMELESS = (errno.EOPNOTSUPP, errno.EISDIR)


def outside(path: str) -> Refused:
    return Refused(422, "path_outside", f"{path!r} does not lead to a place below its root")


def parts_of(path: str, prefix: str) -> list[str]:
    """Return the components of a path that is relative to a root, or absolute below the root's name `prefix`."""
    if "\0" in path or len(path.encode("utf-8", "surrogateescape")) > 4096:
        raise Refused(422, "path_invalid", "a path has at most 4096 bytes and no NUL")
    if path.startswith("/"):
        if path != prefix and not path.startswith(prefix + "/"):
            raise outside(path)
        path = path[len(prefix) :]
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise outside(path)
    return parts


class Tree:
    """One root: `path` is where it is, `prefix` what the sandbox calls it (`/workspace`, `/home/agent`)."""

    def __init__(self, path: str, prefix: str) -> None:
        self.path, self.prefix = path, prefix

    def parts(self, path: str) -> list[str]:
        return parts_of(path, self.prefix)

    @contextmanager
    def folder(self, parts: list[str], *, create: bool = False, follow: bool = True) -> Iterator[int]:
        """Open the folder at `parts`; with `create` missing ones are made. Yields a descriptor that is closed afterwards."""
        walk = _Walk(self, create=create, follow=follow)
        try:
            yield walk.down(parts)
        finally:
            walk.close()

    @contextmanager
    def parent(self, path: str, *, create: bool = False, follow: bool = True) -> Iterator[tuple[int, str]]:
        """Open the folder that holds `path`; yields it and the last name, which is not looked at."""
        parts = self.parts(path)
        if not parts:
            raise Refused(422, "path_invalid", "this is the root itself")
        with self.folder(parts[:-1], create=create, follow=follow) as folder:
            yield folder, parts[-1]

    def open_file(self, path: str) -> int:
        """Open a regular file for reading, through symlinks that stay below the root; the caller closes the descriptor."""
        walk = _Walk(self, create=False, follow=True)
        try:
            return walk.open_file(self.parts(path))
        finally:
            walk.close()


class _Walk:
    """A stack of open folders from the root down, so that `..` in a symlink can be taken back without asking the kernel."""

    def __init__(self, tree: Tree, *, create: bool, follow: bool) -> None:
        self._tree, self._create, self._follow = tree, create, follow
        self._links = _LINKS
        self._stack = [os.open(tree.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]

    def close(self) -> None:
        for descriptor in self._stack:
            os.close(descriptor)

    def down(self, parts: list[str]) -> int:
        waiting = list(reversed(parts))
        while waiting:
            name = waiting.pop()
            if name == "..":
                self._up()
            elif name not in ("", ".") and not self._enter(name):
                waiting.extend(reversed(self._target(name)))
        return self._stack[-1]

    def open_file(self, parts: list[str]) -> int:
        if not parts:
            raise Refused(422, "not_a_file", "this is the root itself")
        while True:
            folder, name = self.down(parts[:-1]), parts[-1]
            if name in ("", ".", ".."):
                raise Refused(422, "not_a_file", "this is a folder")
            if (descriptor := _open_regular(folder, name)) is not None:
                return descriptor
            parts = self._target(name)
            if not parts:
                raise Refused(422, "not_a_file", "this is a folder")

    def _up(self) -> None:
        if len(self._stack) == 1:
            raise outside("..")
        os.close(self._stack.pop())

    def _enter(self, name: str) -> bool:
        """Step into a folder; False where `name` is a symlink."""
        while True:
            try:
                self._stack.append(os.open(name, _FOLDER, dir_fd=self._stack[-1]))
                return True
            except FileNotFoundError:
                if not self._create:
                    raise
                os.mkdir(name, 0o755, dir_fd=self._stack[-1])
            except NotADirectoryError:
                if not stat.S_ISLNK(os.stat(name, dir_fd=self._stack[-1], follow_symlinks=False).st_mode):
                    raise
                return False

    def _target(self, name: str) -> list[str]:
        """Return the components a symlink stands for, and go back to the root where it is absolute."""
        self._links -= 1
        if not self._follow or self._links < 0:
            raise outside(name)
        target = os.readlink(name, dir_fd=self._stack[-1])
        if not target.startswith("/"):
            return target.split("/")
        for prefix in (self._tree.prefix, self._tree.path):
            if target == prefix or target.startswith(prefix + "/"):
                while len(self._stack) > 1:
                    os.close(self._stack.pop())
                return [part for part in target[len(prefix) :].split("/") if part]
        raise outside(name)


def _open_regular(folder: int, name: str) -> int | None:
    """Open a regular file, None where `name` is a symlink. FIFOs, sockets and devices are refused without waiting for them."""
    try:
        descriptor = os.open(
            name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=folder
        )
    except OSError:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if stat.S_ISLNK(mode):
            return None
        if stat.S_ISREG(mode):
            raise
        raise Refused(422, "not_a_file", "only regular files can be read") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Refused(422, "not_a_file", "only regular files can be read")
    return descriptor


def remove(folder: int, name: str) -> None:
    """Delete an entry and all below it, following nothing; folders without permission to write are opened up first."""
    try:
        os.unlink(name, dir_fd=folder)
        return
    except (IsADirectoryError, PermissionError):
        if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise
    empty(folder, name)
    os.rmdir(name, dir_fd=folder)


def empty(folder: int, name: str) -> None:
    """Delete everything in a folder."""
    descriptor = open_folder(folder, name)
    try:
        for entry in os.listdir(descriptor):
            remove(descriptor, entry)
    finally:
        os.close(descriptor)


def open_folder(folder: int, name: str) -> int:
    """Open a folder to change it, making it writable for its owner where it is not; never through a symlink."""
    mode = stat.S_IMODE(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    if mode & 0o700 != 0o700:
        set_mode(folder, name, mode | 0o700)
    return os.open(name, _FOLDER, dir_fd=folder)


@contextmanager
def readable_folder(folder: int, name: str) -> Iterator[int]:
    """Open a folder to look into it; one that its owner may not enter is opened up, and closed again afterwards."""
    mode = stat.S_IMODE(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    locked = mode & 0o500 != 0o500 and os.geteuid() != 0
    descriptor = open_folder(folder, name) if locked else os.open(name, _FOLDER, dir_fd=folder)
    try:
        yield descriptor
    finally:
        if locked:
            os.fchmod(descriptor, mode)
        os.close(descriptor)


def set_mode(folder: int, name: str, mode: int) -> None:
    """Set the permissions of a file or folder, never through a symlink."""
    handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.chmod(f"/proc/self/fd/{handle}", mode)
    finally:
        os.close(handle)


def write_atomically(folder: int, name: str, data: Iterator[bytes], mode: int | None = None) -> int:
    """Write a file that has no name yet, then put it in the old one's place; the old mode stays unless `mode` is given. Returns its
    size. Where this process is killed meanwhile nothing is left: the file has a name of its own only for the moment that replacing
    another takes."""
    temporary = f".paddock-{os.urandom(6).hex()}"
    descriptor, has_name = _open_draft(folder, temporary)
    size = 0
    try:
        with os.fdopen(descriptor, "wb") as file:
            for part in data:
                size += file.write(part)
            file.flush()  # a write after it would take a set-user-id bit away again
            os.fchmod(file.fileno(), _mode_of(folder, name) if mode is None else mode)
            if not has_name:
                os.link(f"/proc/self/fd/{file.fileno()}", temporary, dst_dir_fd=folder)
                has_name = True
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        if has_name:
            os.unlink(temporary, dir_fd=folder)
        raise
    return size


def _open_draft(folder: int, name: str) -> tuple[int, bool]:
    """Open a file to write that has no name, or `name` where the file system knows no such files; tell whether it has it."""
    try:
        return os.open(".", os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o600, dir_fd=folder), False
    except OSError as error:
        if error.errno not in _NO_NAMELESS:
            raise
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder), True


def _mode_of(folder: int, name: str) -> int:
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return 0o644
    return stat.S_IMODE(found) if stat.S_ISREG(found) else 0o644
