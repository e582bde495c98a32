"""Read, complete, compare and write training settings, and derive them from the pairs."""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import click
import yaml

from keras_s2s.checks import count_of
from keras_s2s.cli.setting_table import SECTIONS, SETTINGS
from keras_s2s.errors import InputError
from keras_s2s.recommended import FITTED, fit_settings

_LARGEST_FILE = 1 << 20  # bytes
_DEEPEST = 8  # levels of lists and mappings
_LONGEST_NAME = 40  # characters in the name of a setting
_LARGEST_VOCABULARY = 1_000  # of targets with monotonic attention, which is slow with more
_SIZES = {"units": "encoder", "encoder_layers": "encoder", "decoder_layers": "decoder"}


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
                f"`{name}` is missing. Use --{name} FILE, or `{name}: FILE` in a settings file"
            )
    if values["copy"] and values["attention"] == "none":
        raise InputError("`copy` needs attention. Received: copy=True, attention='none'")
    if values["input_feeding"] and values["attention"] in ("none", "bahdanau", "monotonic"):
        raise InputError(
            "`input_feeding` needs the attention luong, luong_dot or luong_concat. Received: "
            f"input_feeding=True, attention={values['attention']!r}"
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
    free = {"train", "valid", "output", "epochs", "minutes", "patience", "threads", "samples"}
    free |= {"save_every", "watch"}
    for name, setting in SETTINGS.items():
        mine, other = here.get(name), there.get(name, setting.default)
        if name not in free and mine != other:
            yield f"{name} is {other!r} in the run, {mine!r} in this command"


def take_from_run(settings: SimpleNamespace, run: Mapping[str, Any]) -> None:
    """Fill in missing settings from the run that is being resumed.

    Args:
        settings: Namespace of all settings. Modified in place.
        run: Mapping of the settings of the run.
    """
    for name in FITTED:
        if getattr(settings, name) is None:
            setattr(settings, name, run.get(name))


def fit_to_pairs(settings: SimpleNamespace, data: Any, initial: Any = None) -> None:
    """Fill in missing settings from the training pairs, and print each with its reason.

    Args:
        settings: Namespace of all settings. Modified in place.
        data: The `Data` to train with.
        initial: `Translator` or None. Translator that training starts from. Its model determines
            the sizes, the attention and copying. Defaults to `None`.
    """
    missing = [name for name in FITTED if getattr(settings, name) is None]
    if not missing:
        return
    measured = data.statistics
    given = {name: getattr(settings, name) for name in FITTED if name not in missing}
    reasons = {}
    if "source_tokenizer" in missing:
        given["source_tokenizer"], reasons["source_tokenizer"] = data.source_kind
    if settings.batch_tokens:
        given["batch_size"] = max(1, int(settings.batch_tokens / max(measured.mean_length, 1)))
        reasons["batch_size"] = "not used: `batch_tokens` limits the batches"
    if initial is not None:
        taken = _sizes_of(initial.model)
        given = taken | given
        reasons |= dict.fromkeys(taken, f"that of {settings.init_from}")
    reason = _reason_for_luong(settings, data)
    if reason and "attention" not in given:
        given["attention"], reasons["attention"] = "luong", reason
    if given.get("attention") == "none":
        given["attention"] = None
    fitted = fit_settings(measured, **given)
    if fitted.copy and "copy" in missing and not _can_copy(data):
        fitted = dataclasses.replace(fitted, copy=False)
        reasons["copy"] = "no source token is spelled like a target token"
    click.echo(
        f"Recommended settings for {count_of(measured.number, 'pair')} of "
        f"{measured.mean_length:.1f} characters on the longer side, on average (an option "
        "overrides each):"
    )
    for name in missing:
        value = getattr(fitted, name)
        value = "none" if value is None else value  # no attention
        setattr(settings, name, value)
        click.echo(f"  {name:16s} {value!s:>9s}  {reasons.get(name, fitted.reasons[name])}")


def missing_files(paths: Iterable[str]) -> None:
    """Check that all paths are existing files.

    Args:
        paths: Paths to check.

    Raises:
        FileNotFoundError: If a path does not exist.
        IsADirectoryError: If a path is a folder.
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
        raise InputError(f"{path}{line}: not YAML: {error.problem}") from None
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


def _reason_for_luong(settings: SimpleNamespace, data: Any) -> str | None:
    """Return why monotonic attention does not suit the settings, or None."""
    if settings.input_feeding:
        return "for input feeding"
    size = data.target.vocabulary_size
    if size > _LARGEST_VOCABULARY:
        return f"{size:,} target tokens: monotonic attention is for characters and phones"
    return None


def _can_copy(data: Any) -> bool:
    from keras_s2s.tokenizers.copying import can_copy  # imports TensorFlow

    return can_copy(data.source, data.target)


def _sizes_of(model: Any) -> dict[str, Any]:
    sizes = {
        name: getattr(getattr(model, part), "units" if name == "units" else "num_layers")
        for name, part in _SIZES.items()
    }
    return {**sizes, "attention": model.decoder.attention, "copy": model.decoder.copy}
