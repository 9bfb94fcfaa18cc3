"""How the executor says no: one exception with the status and the code that go on the wire."""

from __future__ import annotations

import errno


class Refused(Exception):
    """The request is not carried out; `code` is a word that the caller can act on."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(message or code)
        self.status, self.code, self.message = status, code, message or code


NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
"""A full disk: nothing is wrong with what was asked for, it may come again."""

_BY_ERRNO = {
    errno.ENOENT: (404, "not_found"),
    errno.EEXIST: (409, "exists"),
    errno.ENOTEMPTY: (409, "not_empty"),
    errno.ENOTDIR: (422, "not_a_directory"),
    errno.EISDIR: (422, "is_a_directory"),
    errno.EINVAL: (422, "path_invalid"),
    errno.ENAMETOOLONG: (422, "path_invalid"),
    errno.ELOOP: (422, "path_outside"),
    errno.EACCES: (403, "denied"),
    errno.EPERM: (403, "denied"),
    errno.EROFS: (403, "denied"),
    errno.ENOSPC: (507, "no_space"),
    errno.EDQUOT: (507, "no_space"),
}


def refusal_of(error: OSError) -> Refused:
    """Return what an error of the operating system means to the caller."""
    status, code = _BY_ERRNO.get(error.errno or 0, (500, "io_error"))
    return Refused(status, code, error.strerror or str(error))
