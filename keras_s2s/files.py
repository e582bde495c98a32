"""Atomic file replacement, and locks between processes.

Locks are `flock` locks: the operating system releases them when a process ends for any reason.
An unfinished file is locked while a process writes it. An unfinished file without a lock was left
by a process that has ended, and is removed. On a file system without such locks, none are removed.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_MARK = ".unfinished"


@contextlib.contextmanager
def written_beside(path: str, *, suffix: str = "") -> Iterator[str]:
    """Yield the name of a new file next to `path`, and rename the file to `path` at the end.

    If the block fails, or the process is killed at any moment, the old file at `path` remains. The
    new file has the permissions of the file that it replaces. If `path` is a symbolic link, the
    target of the link is replaced. Unfinished files that killed
    processes left next to `path` are removed.

    Args:
        path: Destination path. Its folder must exist.
        suffix: Required suffix of the name of the unfinished file.

    Yields:
        The name to write to. The file exists already and must be written in place.

    Raises:
        FileNotFoundError: If the folder of `path` does not exist.
        OSError: If `path` is a folder or a device, is not writable, or the disk is full. The error
            names `path`.
    """
    path = os.path.realpath(path)
    before = _check_destination(path)
    folder, name = os.path.split(path)
    remove_unfinished(folder, name)
    mode = 0o666 if before is None else stat.S_IMODE(before.st_mode) | 0o600
    with _named_errors(path):
        unfinished, descriptor = _new_file(folder, f".{name}", suffix, mode)
    try:
        with _named_errors(path):
            yield unfinished
            if before is not None:
                _copy_permissions(descriptor, before)
            os.fsync(descriptor)
            os.replace(unfinished, path)
        _flush_folder(folder)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(unfinished)
        os.close(descriptor)


def check_is_file(path: str) -> None:
    """Check that a file exists.

    Args:
        path: The path.

    Raises:
        FileNotFoundError: If there is no file at the path.
    """
    if not os.path.isfile(path):
        folder = ", but a folder" if os.path.isdir(path) else ""
        raise FileNotFoundError(f"There is no file {path!r}{folder}.")


def write_file(path: str, content: bytes) -> None:
    """Write a file, with the path in every error.

    Args:
        path: Destination path.
        content: The bytes to write.

    Raises:
        OSError: If writing fails. The error names the path, which Python omits if the disk is full.
    """
    try:
        with open(path, "wb") as file:
            file.write(content)
    except OSError as error:
        raise OSError(error.errno, f"Could not write the file: {error.strerror}", path) from error


def check_writable(path: str | os.PathLike[str]) -> None:
    """Check that `written_beside` can write to `path`, before starting long work.

    Args:
        path: Destination path.

    Raises:
        OSError: If the folder does not exist or is not writable, or `path` is not a file.
    """
    path = os.path.realpath(path)
    _check_destination(path)
    folder, name = os.path.split(path)
    with _named_errors(path):
        unfinished, descriptor = _new_file(folder, f".{name}", "", 0o600)
    os.remove(unfinished)
    os.close(descriptor)


def check_folder_writable(folder: str) -> None:
    """Check that a folder is writable, or can be created.

    Args:
        folder: Path of the folder, which need not exist.

    Raises:
        OSError: If the folder, or its nearest existing parent, is not writable or not a folder.
    """
    above = _check_parent(os.path.realpath(folder))
    with _named_errors(above):
        unfinished, descriptor = _new_file(above, ".check", "", 0o600)
    os.remove(unfinished)
    os.close(descriptor)


def existing_parent(path: str) -> str:
    """Return a path if it exists, otherwise its nearest parent that exists.

    Args:
        path: Path of a file or folder, which need not exist.

    Returns:
        The path as given, or the absolute path of the parent. Either may be a file.
    """
    while not os.path.lexists(path):
        whole = os.path.abspath(path)
        path = os.path.dirname(path) if path == whole else whole
    return path


@contextlib.contextmanager
def created_folder(folder: str) -> Iterator[None]:
    """Create a folder and its parents for the block, and remove at the end those that are empty.

    Folders that existed before are not removed.

    Args:
        folder: Path of the folder.

    Raises:
        NotADirectoryError: If the folder or one of its parents is a file.
        OSError: If a folder cannot be created.
    """
    above = _check_parent(folder)
    missing, path = [], os.path.abspath(folder)
    while path != os.path.abspath(above):
        missing.append(path)
        path = os.path.dirname(path)
    with contextlib.ExitStack() as undo:
        for path in reversed(missing):
            with contextlib.suppress(FileExistsError):  # another process has just created it
                os.mkdir(path)
                undo.callback(_remove_empty, path)
        yield


@contextlib.contextmanager
def unfinished_folder(folder: str) -> Iterator[str]:
    """Yield a new, locked folder in `folder`, and remove it at the end unless it was renamed.

    Unfinished folders that killed processes left in `folder` are removed.

    Args:
        folder: The parent folder. It must exist.

    Yields:
        The path of the new folder, whose name begins with ".unfinished-".

    Raises:
        OSError: If the folder cannot be created.
    """
    _remove_unlocked(os.path.join(glob.escape(folder), f"{_MARK}-*"), os.path.isdir, shutil.rmtree)
    while True:
        unfinished = os.path.join(folder, f"{_MARK}-{secrets.token_hex(8)}")
        os.mkdir(unfinished)
        try:
            descriptor = os.open(unfinished, os.O_RDONLY)
        except FileNotFoundError:
            continue  # another process removed the folder before it was locked
        except OSError:  # Windows cannot open folders
            descriptor = None
        if descriptor is None or _try_lock(descriptor, unfinished):
            break
        os.close(descriptor)
    try:
        yield unfinished
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def remove_unfinished(folder: str, name: str = "*") -> None:
    """Remove the unfinished files of processes that have ended.

    Args:
        folder: The folder to look in.
        name: Name of the destination file. Defaults to any file.
    """
    pattern = name if name == "*" else glob.escape(name)
    _remove_unlocked(
        os.path.join(glob.escape(folder), f".{pattern}.*{_MARK}*"), os.path.isfile, os.remove
    )


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Hold a lock that only one process can hold, in a file that is removed at the end.

    If a process is killed, its lock is released. The file that remains is harmless.

    Args:
        path: The lock file. Its folder must exist.

    Raises:
        BlockingIOError: If another process holds the lock. Its `strerror` names the process.
        OSError: If the file cannot be written.
    """
    while True:
        with _named_errors(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if _try_lock(descriptor, path):
            break
        holder = os.read(descriptor, 32).decode("ascii", "replace").strip()
        os.close(descriptor)
        if os.path.exists(path):  # otherwise it was released between the two calls
            known = f"process {holder}" if holder.isdigit() else "another process"
            raise BlockingIOError(errno.EAGAIN, f"in use by {known}", path)
    try:
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        with contextlib.suppress(OSError):
            os.remove(path)
        os.close(descriptor)


def _check_destination(path: str) -> os.stat_result | None:
    """Raise if a file cannot be written to `path`. Return the status of an existing file."""
    folder, name = os.path.split(path)
    if not os.path.isdir(folder):
        _check_parent(folder)
        raise FileNotFoundError(f"There is no folder {folder!r} to write {name!r} into.")
    try:
        before = os.stat(path)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(before.st_mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder. Expected: a file", path)
    if not stat.S_ISREG(before.st_mode):
        raise FileExistsError(errno.EEXIST, "exists and is not a regular file", path)
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, "exists and is read-only", path)
    return before


def _check_parent(folder: str) -> str:
    """Return the folder or its nearest existing parent; raise if that is not a folder."""
    above = existing_parent(folder)
    if not os.path.isdir(above):
        raise NotADirectoryError(errno.ENOTDIR, "not a folder", above)
    return above


def _remove_empty(folder: str) -> None:
    """Remove a folder if it is empty."""
    with contextlib.suppress(OSError):
        os.rmdir(folder)


def _new_file(folder: str, prefix: str, suffix: str, mode: int) -> tuple[str, int]:
    """Create a locked file with a unique name. Return its path and its open descriptor."""
    while True:
        name = f"{prefix}.{os.getpid()}-{secrets.token_hex(4)}{_MARK}{suffix}"
        path = os.path.join(folder, name)
        # The umask of the process applies to `mode`.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        if _try_lock(descriptor, path):
            return path, descriptor
        os.close(descriptor)  # another process removed the file between the two calls


def _copy_permissions(descriptor: int, before: os.stat_result) -> None:
    """Copy the owner and permissions of the replaced file to a new file."""
    if not hasattr(os, "fchmod"):  # Windows
        return
    now = os.fstat(descriptor)
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, before.st_uid, before.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(before.st_mode))


def _try_lock(descriptor: int, path: str) -> bool:
    """Lock an open file. Return whether this succeeded and `path` is still the same file."""
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True  # a file system without locks
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _remove_unlocked(
    pattern: str, fits: Callable[[str], bool], remove: Callable[[str], None]
) -> None:
    """Remove files that match a pattern and are not locked by a running process."""
    for path in glob.glob(pattern):
        with contextlib.suppress(OSError):
            if fits(path) and not os.path.islink(path) and fcntl is not None:
                descriptor = os.open(path, os.O_RDONLY if os.path.isdir(path) else os.O_RDWR)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    remove(path)
                finally:
                    os.close(descriptor)


@contextlib.contextmanager
def _named_errors(path: str) -> Iterator[None]:
    """Name `path` in errors of the operating system that name no file or an unfinished file."""
    try:
        yield
    except OSError as error:
        if error.errno is None or (error.filename is not None and _MARK not in str(error.filename)):
            raise
        raise OSError(error.errno, os.strerror(error.errno), path) from error


def _flush_folder(folder: str) -> None:
    """Flush a renamed file's folder to disk, so that the name survives a power failure."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
