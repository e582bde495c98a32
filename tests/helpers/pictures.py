"""Checks that all pictures share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

Draw = Callable[..., Figure]


def check_files(draw: Draw, folder: Path) -> None:
    """A picture is written as its suffix says, alike each time, and refused under other names."""
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
    """What is written inside of the first axes."""
    return [text.get_text() for text in figure.axes[0].texts]


def tick_labels(axis: Any) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]
