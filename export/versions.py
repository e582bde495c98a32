"""Numbered version folders that are published atomically."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from keras_s2s.checks import check_at_most, check_positive_int
from keras_s2s.errors import InputError
from keras_s2s.files import created_folder, existing_parent, unfinished_folder

# A model server ignores larger numbers.
_LARGEST = 2**63 - 1


def check_version(folder: str, version: int | None) -> None:
    """Check a version number and folder before the export begins.

    Args:
        folder: Folder of the versions; it need not exist.
        version: Number of the version. `None` selects the next number.

    Raises:
        ValueError: If `version` is not a positive 64-bit integer, or the name of `folder` is a
            number.
        FileExistsError: If the version exists.
        NotADirectoryError: If `folder` or one of its parents is a file.
    """
    name = os.path.basename(folder)
    if is_version(name):
        raise InputError(
            "`path` must be the folder of the versions, not a version: a server would treat "
            f"{name!r} as a broken version. Pass `version={int(name)}` instead. Received: "
            f"{folder!r}"
        )
    above = existing_parent(folder)
    if not os.path.isdir(above):
        raise NotADirectoryError(f"{above!r} must be a folder for versions. Received: a file")
    if version is not None:
        check_at_most("version", check_positive_int("version", version), _LARGEST)
        if int(version) in find_versions(folder):
            raise FileExistsError(
                f"Version {version} already exists, and versions are never overwritten. Omit "
                "`version` to write the next version. Received: "
                f"{os.path.join(folder, str(version))!r}"
            )


def find_versions(folder: str) -> set[int]:
    """Find the versions that a model server would see.

    Args:
        folder: Folder of the versions; it need not exist.

    Returns:
        The version numbers.
    """
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return {int(name) for name in names if is_version(name)}


@contextlib.contextmanager
def unfinished_version(folder: str) -> Iterator[str]:
    """Yield a new folder for writing a version, next to the existing versions.

    Its name is not a number, so servers ignore it. Unless the folder is published, it is removed
    at the end, together with any parent folders created for it.

    Args:
        folder: Folder of the versions; created if it does not exist.

    Yields:
        The path of a new, empty folder.

    Raises:
        OSError: If the folder cannot be created.
    """
    with created_folder(folder), unfinished_folder(folder) as unfinished:
        yield unfinished


def publish(unfinished: str, folder: str, version: int | None) -> str:
    """Rename a finished folder to its version number.

    Args:
        unfinished: The folder from `unfinished_version`.
        folder: Folder of the versions.
        version: Number of the version. `None` selects the next number.

    Returns:
        The path of the version's folder.

    Raises:
        FileExistsError: If the version was created in the meantime.
    """
    while True:
        check_version(folder, version)
        number = max(find_versions(folder), default=0) + 1 if version is None else int(version)
        path = os.path.join(folder, str(number))
        try:
            os.rename(unfinished, path)
        except OSError:
            if not os.path.lexists(path):
                raise
            continue  # another process has just published this number
        return path


def is_version(name: str) -> bool:
    """Return whether a model server would treat a folder of that name as a version.

    Args:
        name: Name of the folder, without its path.
    """
    return name.isascii() and name.isdigit()
