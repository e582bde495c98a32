"""Checks shared by the tests of all plots."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

Draw = Callable[..., Figure]


def check_files(draw: Draw, folder: Path) -> None:
    """Check that PNG and SVG files are reproducible, and that other paths raise an error."""
    for name, start in (("a.png", b"\x89PNG"), ("a.SVG", b"<?xml")):
        draw(path=folder / name)
        first = (folder / name).read_bytes()
        assert first.startswith(start)
        draw(path=str(folder / name))
        assert (folder / name).read_bytes() == first
    assert sorted(path.name for path in folder.iterdir()) == ["a.SVG", "a.png"]
    with pytest.raises(ValueError, match=r"must end in '.png' or '.svg'. Received: path='a.jpg'"):
        draw(path="a.jpg")
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        draw(path=folder / "no" / "a.png")


def texts(figure: Figure) -> list[str]:
    """Return the texts inside the first axes."""
    return [text.get_text() for text in figure.axes[0].texts]


def tick_labels(axis: Any) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]
