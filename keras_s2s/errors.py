"""Errors that the command line reports in one line: mistakes of the user, and divergence.

The command line treats any other error as a bug in this package or a fault of its environment.
"""

from __future__ import annotations


class InputError(ValueError):
    """Raised for an invalid argument, setting or file content."""

    # AutoGraph replaces exceptions with another constructor by its own `StagingError`.
    __init__ = Exception.__init__


class MissingPackageError(ImportError):
    """Raised if an optional package is not installed or a module cannot be found."""


class TrainingDivergedError(ArithmeticError):
    """Raised if the training loss is not finite."""


def missing_package(
    needs: str, package: str, extra: str, error: Exception | None = None
) -> MissingPackageError:
    """Create the error for an optional package that cannot be imported.

    Args:
        needs: Feature that needs the package, with a verb, such as "Error rates need".
        package: Name of the package.
        extra: Extra of keras-s2s that installs it.
        error: The error that the import raised. `None` means that the package was not found.
            Defaults to `None`.

    Returns:
        The error to raise.
    """
    module = (getattr(error, "name", None) or "").partition(".")[0]
    absent = error is None or bool(module and package.replace("-", "_").startswith(module))
    why = "is not installed" if absent else f"cannot be imported ({error})"
    return MissingPackageError(f"{needs} {package}, which {why}: pip install 'keras-s2s[{extra}]'")
