"""Writing files so that nobody ever finds half of one."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def written_beside(path: str, *, suffix: str = "") -> Iterator[str]:
    """Give a name beside `path` to write to; rename it to `path` when all went well.

    Whatever goes wrong, what stood at `path` before stands there still, and the unfinished file
    is removed.

    Args:
        path: the file that shall be there in the end. Its folder must exist.
        suffix: how the name of the unfinished file must end.

    Yields:
        The name to write to.

    Raises:
        FileNotFoundError: if the folder of `path` does not exist.
    """
    path = os.path.abspath(path)
    folder, name = os.path.split(path)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"There is no folder {folder!r} to write {name!r} into.")
    handle, unfinished = tempfile.mkstemp(
        prefix=f".{name}.", suffix=f".unfinished{suffix}", dir=folder
    )
    os.close(handle)
    try:
        yield unfinished
        mode = 0o666 & ~_umask()
        os.chmod(unfinished, mode)
        os.replace(unfinished, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(unfinished)


def _umask() -> int:
    """Read the mask of new files' permissions, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
