"""Errors that the command line reports in one line: mistakes of the caller, and divergence.

Any other error is a fault of this package or of its environment.
"""

from __future__ import annotations


class InputError(ValueError):
    """Raised for an invalid argument, setting or file content."""

    # AutoGraph raises its own `StagingError` in place of an exception with another constructor.
    __init__ = Exception.__init__


class MissingPackageError(ImportError):
    """Raised if an optional package is not installed or a module cannot be found."""


class DivergedError(ArithmeticError):
    """The training loss is not finite."""


def missing_package(
    needs: str, package: str, extra: str, error: Exception | None = None
) -> MissingPackageError:
    """Create the error for an optional package that cannot be imported.

    Args:
        needs: What needs the package, with its verb, such as "Error rates need".
        package: Name of the package.
        extra: Extra of keras-s2s that installs it.
        error: The error of the import. Defaults to `None`: the package was not found.

    Returns:
        The error to raise.
    """
    module = (getattr(error, "name", None) or "").partition(".")[0]
    absent = error is None or bool(module and package.replace("-", "_").startswith(module))
    why = "is not installed" if absent else f"cannot be imported ({error})"
    return MissingPackageError(f"{needs} {package}, which {why}: pip install 'keras-s2s[{extra}]'")
