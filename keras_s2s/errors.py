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
