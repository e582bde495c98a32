"""Extension for griffe that adds Keras's own docstring sections to the reference.

Griffe does not know "Example:", "Call arguments:" and, for a class, "Returns:". The
docstring of a search lists the settings that all searches share only as `**settings`.
mkdocs.yml loads this file.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

import griffe

TITLE = '<span class="doc-section-title">{}:</span>'


class DocstringSections(griffe.Extension):
    """Rewrites the sections of each docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of an object, when the whole package is loaded."""
        if obj.docstring is None:
            return
        text = obj.docstring.value
        if isinstance(obj, griffe.Class):
            text = with_settings(text, obj)
            text = replace_section(text, "Returns", textwrap.dedent)
        text = re.sub(r"^Example:$", "Examples: Example:", text, flags=re.MULTILINE)
        text = replace_section(text, "Call arguments", as_list)
        text = replace_section(text, "References", textwrap.dedent)
        obj.docstring.value = text


def with_settings(text: str, search: griffe.Class) -> str:
    """Replace the argument `**settings` by the settings of every `Search`."""
    bases = [base for base in search.mro() if base.name == "Search" and base.docstring]
    found = (
        section("Args", bases[0].docstring.value)
        if bases and bases[0].docstring
        else None
    )
    if found is None:
        return text
    settings = found["body"].rstrip("\n") + "\n"
    return re.sub(
        r"^    \*\*settings:.*\n(?:     .*\n)*", lambda _: settings, text, flags=re.M
    )


def section(title: str, text: str) -> re.Match[str] | None:
    """Find a section: its title and the indented lines below it."""
    return re.search(
        rf"^{title}:\n(?P<body>(?:(?: .*)?(?:\n|\Z))+)", text, re.MULTILINE
    )


def replace_section(text: str, title: str, rewrite: Any) -> str:
    """Replace a section by its title and the result of `rewrite`, as Markdown."""
    found = section(title, text)
    if found is None:
        return text
    body = rewrite(found["body"]).strip("\n")
    before, after = text[: found.start()], text[found.end() :]
    return f"{before}{TITLE.format(title)}\n\n{body}\n\n{after}"


def as_list(arguments: str) -> str:
    """Turn `name: description` into list items."""
    return re.sub(
        r"^(\w+):", r"- `\1`:", textwrap.dedent(arguments), flags=re.MULTILINE
    )
