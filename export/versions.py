"""Numbered version folders, in which a model server finds whole versions only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from keras_s2s.checks import check_positive_int
from keras_s2s.errors import InputError
from keras_s2s.files import unfinished_folder


def check_version(folder: str, version: int | None) -> None:
    """Refuse early what `publish` would refuse after all the work, and what no server could use.

    Args:
        folder: The folder with the versions; it need not exist.
        version: The version's number; None for the next one.

    Raises:
        ValueError: If `version` is not a positive integer, or `folder` has a number for its name.
        FileExistsError: If the version is there.
        NotADirectoryError: If `folder`, or what should be a folder above it, is a file.
    """
    above, name = folder, os.path.basename(folder)
    if _is_version(name):
        raise InputError(
            "`path` must be the folder of the versions, not a version, because a server would take "
            f"{name!r} for a version that is broken; give `version={int(name)}` beside the path. "
            f"Received: {folder!r}"
        )
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    if not os.path.isdir(above):
        raise NotADirectoryError(f"{above!r} must be a folder for versions. Received: a file")
    if version is not None:
        check_positive_int("version", version)
        if int(version) in find_versions(folder):
            raise FileExistsError(
                f"Version {version} is there already, and a version is never changed. Leave out "
                f"`version` for the next one. Received: {os.path.join(folder, str(version))!r}"
            )


def find_versions(folder: str) -> set[int]:
    """Find the versions that a model server would see.

    Args:
        folder: The folder with the versions; it need not exist.

    Returns:
        Their numbers.
    """
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return {int(name) for name in names if _is_version(name)}


@contextlib.contextmanager
def unfinished_version(folder: str) -> Iterator[str]:
    """Give a folder to write a version to, beside the versions that are there.

    Its name is no number, so that no server takes it for a version. Unless it was published, it
    is gone at the end, with the folders that were made for it.

    Args:
        folder: The folder with the versions; made where it does not exist.

    Yields:
        The name of a new, empty folder.

    Raises:
        OSError: If the folder cannot be made.
    """
    with contextlib.ExitStack() as undo:
        for name in _missing_folders(folder):
            with contextlib.suppress(FileExistsError):
                os.mkdir(name)
                undo.callback(_remove_empty, name)
        yield undo.enter_context(unfinished_folder(folder))


def publish(unfinished: str, folder: str, version: int | None) -> str:
    """Make a finished folder a version, in one step.

    Args:
        unfinished: What `unfinished_version` gave.
        folder: The folder with the versions.
        version: The version's number; None for the next one.

    Returns:
        The path of the version's folder.

    Raises:
        FileExistsError: If the version has come to be there in the meantime.
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
            continue  # somebody else has just published this number
        return path


def _is_version(name: str) -> bool:
    """Say whether a model server would take a folder of that name for a version."""
    return name.isascii() and name.isdigit()


def _missing_folders(folder: str) -> list[str]:
    """Give those of a folder and the folders above it that are not there, the outermost first."""
    missing: list[str] = []
    while not os.path.isdir(folder):
        missing.insert(0, folder)
        folder = os.path.dirname(folder)
    return missing


def _remove_empty(folder: str) -> None:
    """Remove a folder, unless something has been published in it."""
    with contextlib.suppress(OSError):
        os.rmdir(folder)
