"""Faults of the file system as node errors."""

from __future__ import annotations

import errno
from collections.abc import Generator
from contextlib import contextmanager

from engine.errors import ACCESS_DENIED, EXTERNAL_ERROR, INVALID_CONFIG, OUTPUT_TOO_LARGE, RESOURCE_EXHAUSTED, NodeError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_BUSY = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_LINK = (errno.ELOOP, errno.ENOTDIR, errno.EMLINK)


@contextmanager
def as_node_errors(path: str) -> Generator[None]:
    """Turn what the operating system says about `path` into a NodeError."""
    try:
        yield
    except OSError as error:
        raise _translate(error, path) from None


def _translate(error: OSError, path: str) -> NodeError:
    details = {"path": path, "cause": errno.errorcode.get(error.errno or 0, "UNKNOWN")}
    if isinstance(error, FileNotFoundError):
        return NodeError(f"there is no file {path}", code=EXTERNAL_ERROR, details=details)
    if error.errno in _LINK:
        return NodeError(
            f"{path} leads through a link or a file: only plain folders are followed",
            code=INVALID_CONFIG,
            details=details,
        )
    if isinstance(error, IsADirectoryError):
        return NodeError(f"{path} is a folder", code=INVALID_CONFIG, details=details)
    if error.errno in _FULL:
        return NodeError(f"no room to write {path}", code=RESOURCE_EXHAUSTED, details=details, retryable=True)
    if isinstance(error, PermissionError):
        return NodeError(f"the worker may not use {path}", code=ACCESS_DENIED, details=details)
    text = f"{path}: {error.strerror or 'input/output error'}"
    return NodeError(text, code=EXTERNAL_ERROR, details=details, retryable=error.errno in (*_BUSY, errno.EIO))


def not_a_file(path: str) -> NodeError:
    return NodeError(f"{path} is no plain file", code=INVALID_CONFIG, details={"path": path})


def too_large(path: str, limit: int) -> NodeError:
    return NodeError(
        f"{path} is over {limit} bytes: raise max_bytes, or work on a smaller file",
        code=OUTPUT_TOO_LARGE,
        details={"path": path, "max_bytes": limit},
    )
