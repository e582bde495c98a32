"""Training settings and their files: read, complete, compare and write them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import yaml

from keras_s2s.cli.setting import name_as_given, option_name, value_as_given
from keras_s2s.cli.setting_table import SECTIONS, SETTINGS
from keras_s2s.errors import InputError
from keras_s2s.recommended import FITTED

_LARGEST_FILE = 1 << 20  # bytes
_DEEPEST = 8  # levels of lists and mappings
_LONGEST_NAME = 40  # characters in the name of a setting

# Settings that may change when a run is resumed. Data files may move: their content is compared.
_CHANGEABLE = {
    "train",
    "valid",
    "output",
    "epochs",
    "minutes",
    "patience",
    "threads",
    "save_every",
    "samples",
    "confidence",
}


def read_config(path: str) -> dict[str, Any]:
    """Read settings from a YAML file.

    Args:
        path: Path of the file.

    Returns:
        A dictionary of the settings in the file, validated.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not YAML in UTF-8, has an unknown or duplicate key, or an invalid
            value. The message contains the line number.
    """
    found: dict[str, Any] = {}
    for key, value, line in _items(path, _read_text(path)):
        if key not in SETTINGS:
            raise InputError(f"{path}, line {line}: {unknown(key)}")
        if key in found:
            raise InputError(f"{path}, line {line}: `{key}` appears twice")
        if value is None and key in ("train", "valid"):
            continue  # a new template has null here
        try:
            found[key] = SETTINGS[key].check(value)
        except ValueError as error:
            raise InputError(f"{path}, line {line}: {error}") from None
    return found


def unknown(key: str) -> str:
    """Return the error message for an unknown setting, with a similar name as a suggestion."""
    key = key if len(key) <= _LONGEST_NAME else f"{key[:_LONGEST_NAME]} ..."
    near = difflib.get_close_matches(key.replace("-", "_"), SETTINGS, n=1, cutoff=0.5)
    hint = (
        f" Did you mean `{near[0]}`?" if near else " `keras-s2s train --help` lists all settings."
    )
    return f"there is no setting `{key}`.{hint}"


def complete(given: Mapping[str, Any]) -> SimpleNamespace:
    """Add the defaults to the given settings.

    Args:
        given: Mapping with some of the settings.

    Returns:
        A namespace with all settings.

    Raises:
        ValueError: If a required setting is missing, or a value is invalid.
    """
    values = {name: setting.default for name, setting in SETTINGS.items()}
    values |= {name: SETTINGS[name].check(value) for name, value in given.items()}
    for name in ("train", "valid"):
        if not values[name]:
            raise InputError(
                f"{option_name(name)} FILE is missing. You can also set it in a settings file, as "
                f"`{name}: FILE`"
            )
    last_seed = values["seed"] + values["models"] - 1
    if last_seed > SETTINGS["seed"].maximum:
        raise InputError(
            f"{name_as_given('seed')} must be at most {SETTINGS['seed'].maximum} for the last of "
            f"{values['models']} models, too. Received: {value_as_given('seed', values['seed'])}"
        )
    attention = values["attention"]
    if values["copy"] and attention == "none":
        raise InputError(
            f"{name_as_given('copy')} needs attention. Received: "
            f"{value_as_given('copy', True)} and {value_as_given('attention', attention)}"
        )
    if values["input_feeding"] and attention in ("none", "bahdanau", "monotonic"):
        raise InputError(
            f"{name_as_given('input_feeding')} needs the attention luong, luong_dot or "
            f"luong_concat. Received: {value_as_given('input_feeding', True)} and "
            f"{value_as_given('attention', attention)}"
        )
    return SimpleNamespace(**values)


def to_yaml(values: Mapping[str, Any]) -> str:
    """Return settings as YAML with an explanation on each line.

    Args:
        values: Mapping of settings. Missing ones get their defaults.

    Returns:
        The text of the file.
    """
    lines = ["# Settings of keras-s2s train. To use them: keras-s2s train --config THIS_FILE"]
    for title, section in SECTIONS.items():
        lines += ["", f"# {title}"]
        for setting in section:
            value = values.get(setting.name, setting.default)
            text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
            written = f"{setting.name}: {text.removesuffix(chr(10)).removesuffix('...').strip()}"
            lines.append(f"{written:36s}  # {setting.comment()}")
    return "\n".join(lines) + "\n"


def same_training(here: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[str]:
    """Compare the settings that must not change when a run is resumed.

    Args:
        here: Mapping of the requested settings.
        there: Mapping of the settings of the run.

    Yields:
        A description of each difference.
    """
    for name, setting in SETTINGS.items():
        mine, other = here.get(name), there.get(name, setting.default)
        if name == "bleu_tokenize" and here.get("watch") != "bleu":
            continue  # it changes no choice of the run
        if name not in _CHANGEABLE and mine != other:
            yield f"{name_as_given(name)} is {other!r} in the run, {mine!r} in this command"


def take_from_run(settings: SimpleNamespace, run: Mapping[str, Any]) -> None:
    """Fill in missing settings from the run that is being resumed.

    Args:
        settings: Namespace of all settings. Modified in place.
        run: Mapping of the settings of the run.
    """
    for name in FITTED:
        if getattr(settings, name) is None:
            setattr(settings, name, run.get(name))


def _read_text(path: str) -> str:
    with open(path, "rb") as file:
        content = file.read(_LARGEST_FILE + 1)
    if len(content) > _LARGEST_FILE:
        raise InputError(
            f"{path}: more than {_LARGEST_FILE:,} bytes, the limit for a settings file"
        )
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
    """YAML loader that limits nesting and rejects aliases."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node. Raise an error for an alias or if nesting is too deep."""
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
    """Yield the key, value and line number of each setting."""
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return
        if not isinstance(root, yaml.MappingNode):
            raise InputError(f"{path}: expected lines of `setting: value`")
        for key, value in root.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise InputError(f"{path}, line {line}: expected the name of a setting")
            yield key.value, _construct(loader, value, f"{path}, line {line}"), line
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{path}{line}: not valid YAML: {error.problem}") from None
    finally:
        loader.dispose()


def _construct(loader: _Loader, node: Any, place: str) -> Any:
    """Return the value of a node."""
    try:
        return loader.construct_object(node, deep=True)
    except yaml.YAMLError:
        raise
    except Exception as error:  # PyYAML's constructors raise various errors for odd scalars
        kind = node.tag.rpartition(":")[2]
        raise InputError(f"{place}: not a value of type {kind!r}: {error}") from error
