"""Filling in the templates in `export/serving/`, for the files of a model server."""

from __future__ import annotations

import importlib.resources
import string

_FOLDER = importlib.resources.files("keras_s2s.export") / "serving"


def fill_template(file: str, /, **values: object) -> str:
    """Fill in a template.

    Args:
        file: Name of the template.
        **values: The value of each `${name}` in it.

    Returns:
        The content of the file.
    """
    template = (_FOLDER / file).read_text(encoding="utf-8")
    return string.Template(template).substitute(values)
