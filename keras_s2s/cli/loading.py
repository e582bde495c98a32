"""Load models for the commands: `.keras` files, run folders and exports."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras_s2s.cli.exported_model import load_export
from keras_s2s.cli.keras_model import KerasModel
from keras_s2s.cli.model_paths import (
    find_model,
    find_translator,
    is_export,
    needs_tensorflow,
    settings_of_run,
)
from keras_s2s.cli.models import Model
from keras_s2s.cli.options import import_modules
from keras_s2s.cli.setting import option_name
from keras_s2s.cli.streams import StatusLine, import_package
from keras_s2s.errors import InputError


def load_model(path: str, *, tensorflow: bool = True, **options: Any) -> Model:
    """Load a model.

    Args:
        path: Path of a `.keras` file, a run folder, a SavedModel (one version or the folder of all
            versions), or a `.tflite` or `.onnx` file.
        tensorflow: Boolean. Whether the command may import TensorFlow later. It is then imported
            before the model is loaded: after the libraries of a LiteRT file, the process would
            crash when it ends. Defaults to `True`.
        **options: Search settings that override those of the model. `None` keeps the setting of the
            model.

    Returns:
        The `Model`.

    Raises:
        FileNotFoundError: If there is no model at `path`.
        ValueError: If the file is damaged or not a model, or an option does not fit the search.
        ImportError: If a package that the file needs is not installed.
    """
    path = find_model(path)
    if is_export(path):
        given = [name for name, value in options.items() if value is not None]
        if given:
            raise InputError(
                f"{path}: the search of an export is fixed. Use "
                f"{', '.join(map(_option, given))} with a .keras file or run folder"
            )
        if tensorflow or needs_tensorflow(path):
            import_package()
        with StatusLine("Loading the model"):
            return load_export(path)
    return load_keras_model(path, **options)


def load_keras_model(path: str, **options: Any) -> KerasModel:
    """Load the model in a `.keras` file or run folder.

    Args:
        path: Path of the file or folder.
        **options: Search settings, as in `load_model`.

    Returns:
        The `KerasModel`.

    Raises:
        FileNotFoundError: If there is no model at `path`.
        ValueError: If the file is damaged or not a translator, or an option does not fit the
            search.
    """
    given = {name: value for name, value in options.items() if value is not None}
    _check_number(given, given.get("beam_width"))
    translator = load_translator(path)
    return KerasModel(translator, _with_options(translator.search, given))


def load_translator(path: str) -> Any:
    """Load the `Translator` in a `.keras` file or run folder.

    Args:
        path: Path of the file or folder.

    Returns:
        The `Translator`.

    Raises:
        FileNotFoundError: If there is no model at `path`.
        ValueError: If the file is damaged or not a translator.
    """
    path = find_translator(path)
    loaded = load_keras(path)
    import keras_s2s

    if not isinstance(loaded, keras_s2s.Translator):
        raise InputError(
            f"{path}: a bare model without tokenizers. Expected: a translator, as saved by "
            "`Translator.save` or `keras-s2s train`"
        )
    return loaded


def load_keras(path: str) -> Any:
    """Load a `.keras` file after importing the modules it needs.

    Args:
        path: Path of the file, as returned by `find_model`.

    Returns:
        A `Translator` or a bare model.

    Raises:
        ValueError: If the file is damaged, needs other modules, or importing a module fails.
        ImportError: If a module does not exist.
    """
    import_package()
    import_modules(settings_of_run(path).get("import") or ())
    import keras_s2s

    with StatusLine("Loading the model"):
        return keras_s2s.load(path)


def _with_options(search: Any, options: dict[str, Any]) -> Any:
    """Apply options to a search, replacing it by a beam search if it lacks one of them."""
    if not options:
        return search
    from keras_s2s import BeamSearch

    known = {field.name for field in dataclasses.fields(search)}
    _check_number(options, options.get("beam_width", getattr(search, "beam_width", None)))
    if options.keys() <= known:
        return dataclasses.replace(search, **options)
    shared = known & {field.name for field in dataclasses.fields(BeamSearch)}
    return BeamSearch(**{name: getattr(search, name) for name in shared} | options)


def _check_number(options: dict[str, Any], width: int | None) -> None:
    """Check that a beam of this width, if it is known, holds the requested hypotheses."""
    number = options.get("num_hypotheses", 1)
    if width is not None and number > width:
        raise InputError(
            f"--nbest {number} requires a beam width of at least {number}. Received: {width}. Add "
            f"--beam-width {number}"
        )


def _option(name: str) -> str:
    return "--nbest" if name == "num_hypotheses" else option_name(name)
