"""The files for a model server that are written out of templates: those in `export/serving/`."""

from __future__ import annotations

import importlib.resources
import string

_FOLDER = importlib.resources.files("keras_s2s.export") / "serving"


def fill_template(file: str, /, **values: object) -> str:
    """Fill in a template.

    Args:
        file: Its name.
        **values: What stands for each `${name}` in it.

    Returns:
        The text of the file.
    """
    template = (_FOLDER / file).read_text(encoding="utf-8")
    return string.Template(template).substitute(values)
