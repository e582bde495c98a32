"""Errors that the caller can correct. The command line reports them in one line, with exit code 2.

Any other error is a fault of this package or of its environment.
"""

from __future__ import annotations


class InputError(ValueError):
    """An argument, a setting or the content of a file that cannot be accepted."""


class MissingPackageError(ImportError):
    """An optional package that is not installed, or a module that cannot be found."""
