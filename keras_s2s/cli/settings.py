"""The settings of a training, as a file has them."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import yaml

from keras_s2s.cli.setting_table import SECTIONS, SETTINGS
from keras_s2s.errors import InputError

_LARGEST_FILE = 1 << 20  # bytes
_DEEPEST = 8  # levels of lists and mappings
_LONGEST_NAME = 40  # characters of a setting


def read_config(path: str) -> dict[str, Any]:
    """Read settings from a YAML file.

    Args:
        path: the file.

    Returns:
        The settings that stand in it, checked.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not YAML in UTF-8, has an unknown key or one twice, or a value cannot
            be; the message has the line.
    """
    found: dict[str, Any] = {}
    for key, value, line in _items(path, _read_text(path)):
        if key not in SETTINGS:
            raise InputError(f"{path}, line {line}: {unknown(key)}")
        if key in found:
            raise InputError(f"{path}, line {line}: `{key}` stands there twice")
        if value is None and key in ("train", "valid"):
            continue  # as a fresh template has it
        try:
            found[key] = SETTINGS[key].check(value)
        except ValueError as error:
            raise InputError(f"{path}, line {line}: {error}") from None
    return found


def unknown(key: str) -> str:
    """Say that there is no such setting, and which one may be meant."""
    key = key if len(key) <= _LONGEST_NAME else f"{key[:_LONGEST_NAME]} ..."
    near = difflib.get_close_matches(key.replace("-", "_"), SETTINGS, n=1, cutoff=0.5)
    hint = f" Is `{near[0]}` meant?" if near else " `keras-s2s train --help` has them all."
    return f"there is no setting `{key}`.{hint}"


def complete(given: Mapping[str, Any]) -> SimpleNamespace:
    """Give all settings: those that are given, and the defaults of the others.

    Args:
        given: some of them.

    Returns:
        All of them as attributes.

    Raises:
        ValueError: if one is missing that has no default, or cannot be.
    """
    values = {name: setting.default for name, setting in SETTINGS.items()}
    values |= {name: SETTINGS[name].check(value) for name, value in given.items()}
    for name in ("train", "valid"):
        if not values[name]:
            raise InputError(f"`{name}` is missing: --{name} FILE, or `{name}: FILE` in the config")
    return SimpleNamespace(**values)


def to_yaml(values: Mapping[str, Any]) -> str:
    """Write settings as YAML in which every line is explained.

    Args:
        values: settings; the others get their defaults.

    Returns:
        The text of the file.
    """
    lines = ["# A training of keras-s2s: keras-s2s train --config THIS_FILE"]
    for title, section in SECTIONS.items():
        lines += ["", f"# {title}"]
        for setting in section:
            value = values.get(setting.name, setting.default)
            text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
            written = f"{setting.name}: {text.removesuffix(chr(10)).removesuffix('...').strip()}"
            lines.append(f"{written:36s}  # {setting.help}.")
    return "\n".join(lines) + "\n"


def same_training(here: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[str]:
    """Compare settings that may not change while a training goes on.

    Args:
        here: the settings that are wanted.
        there: those of the run.

    Yields:
        What differs, in words.
    """
    free = {"train", "valid", "output", "epochs", "minutes", "patience", "threads", "samples"}
    free |= {"save_every", "watch"}
    for name, setting in SETTINGS.items():
        mine, other = here.get(name), there.get(name, setting.default)
        if name not in free and mine != other:
            yield f"{name} {other!r} there, {mine!r} here"


def missing_files(paths: Iterable[str]) -> None:
    """Refuse paths at which there is no file.

    Args:
        paths: the paths.

    Raises:
        FileNotFoundError: if there is none.
        IsADirectoryError: if it is a folder.
    """
    for path in paths:
        if os.path.isdir(path):
            raise IsADirectoryError(
                f"{path}: a folder. Expected: a file of source<TAB>target lines"
            )
        if not os.path.exists(path):
            raise FileNotFoundError(f"{path}: there is no such file")


def _read_text(path: str) -> str:
    with open(path, "rb") as file:
        content = file.read(_LARGEST_FILE + 1)
    if len(content) > _LARGEST_FILE:
        raise InputError(f"{path}: more than {_LARGEST_FILE} bytes, which no settings need")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line}: not UTF-8: byte 0x{content[error.start]:02X}"
        ) from None
    odd = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if odd is not None:
        line = text.count("\n", 0, odd.start()) + 1
        raise InputError(f"{path}, line {line}: control character U+{ord(odd.group()):04X}")
    return text


class _Loader(yaml.SafeLoader):
    """Reads YAML as settings need it: a few levels deep, and without aliases."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node, unless it is an alias or too deep."""
        mark = self.peek_event().start_mark
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases are not supported", mark)
        if self._depth == _DEEPEST:
            raise yaml.composer.ComposerError(None, None, "nested too deeply", mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _items(path: str, text: str) -> Iterator[tuple[str, Any, int]]:
    """Yield keys, values and the numbers of their lines."""
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return
        if not isinstance(root, yaml.MappingNode):
            raise InputError(f"{path}: lines of `setting: value` are expected")
        for key, value in root.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise InputError(f"{path}, line {line}: the name of a setting is expected")
            yield key.value, _construct(loader, value, f"{path}, line {line}"), line
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{path}{line}: not YAML: {error.problem}") from None
    finally:
        loader.dispose()


def _construct(loader: _Loader, node: Any, place: str) -> Any:
    """Return the value of a node."""
    try:
        return loader.construct_object(node, deep=True)
    except yaml.YAMLError:
        raise
    except Exception as error:  # whatever the constructors of PyYAML raise for odd scalars
        kind = node.tag.rpartition(":")[2]
        raise InputError(f"{place}: not a value of the kind {kind!r}: {error}") from error
