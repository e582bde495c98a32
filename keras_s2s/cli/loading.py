"""Load models for the commands: `.keras` files, run folders and exports."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from keras_s2s.checks import one_line
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
from keras_s2s.cli.streams import StatusLine, hushed, import_package
from keras_s2s.errors import InputError

if TYPE_CHECKING:
    from keras_s2s.cli.models import Answer

_SIDES = ("source", "target")


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
    given = {name: value for name, value in options.items() if value is not None}
    if is_export(path):
        if given:
            raise InputError(
                f"{path}: the search of an export is fixed. Use "
                f"{', '.join(map(_option, given))} with a .keras file or run folder"
            )
        if tensorflow or needs_tensorflow(path):
            import_package()
        with StatusLine("Loading the model"):
            return _load_export(path)
    _check_number(given, given.get("beam_width"))
    return _load_keras(path, given)


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


def _load_keras(path: str, options: dict[str, Any]) -> Model:
    translator = load_translator(path)
    import tensorflow as tf

    search = _with_options(translator.search, options)

    def run(texts: list[bytes]) -> Answer:
        found = translator.search_texts(tf.constant(texts), search)
        return {name: value.numpy() for name, value in found.items()}

    def score(texts: list[bytes], targets: list[bytes]) -> Answer:
        found = translator.score_texts(tf.constant(texts), tf.constant(targets))
        return {name: value.numpy() for name, value in found.items()}

    kinds = type(translator.source), type(translator.target)
    return Model(run, score, translator, search, translator.max_source_length, kinds)


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


def _load_export(path: str) -> Model:
    """Load an export in the runtime it was exported for: TensorFlow only for a SavedModel."""
    import numpy as np

    from keras_s2s.export.parts import CARD, parse_part, read_parts

    try:
        parts = read_parts(path)
        card = parse_part(parts, CARD, path)
    except (FileNotFoundError, ValueError):  # damaged, or not exported by this package
        parts, card = {}, {}
    on_ids = bool(card) and all("source" not in it["inputs"] for it in card["signatures"].values())
    session = _session(path, text_operations=not on_ids)
    if on_ids:
        from keras_s2s.export.text_runtime import TextRuntime

        session = TextRuntime(path, parts, session)

    def search(texts: list[bytes]) -> Answer:
        return session("serving_default", {"source": np.array(texts, object)})

    def score(texts: list[bytes], targets: list[bytes]) -> Answer:
        sides = {"source": np.array(texts, object), "target": np.array(targets, object)}
        return session("score", sides)

    source, target = (card.get(side, {}).get("class") for side in _SIDES)
    limits = [card.get(name) for name in ("max_source_length", "source_length")]
    limit = min((it for it in limits if it is not None), default=None)
    return Model(search, score, None, None, limit, (source, target))


def _session(path: str, *, text_operations: bool) -> Callable[[str, dict[str, Any]], Answer]:
    """Create the session of an export, with the operations of tensorflow-text if requested."""
    if path.endswith(".onnx"):
        from keras_s2s.export.sessions import OnnxSession

        return OnnxSession(path)
    if not os.path.isdir(path):
        from keras_s2s.export.sessions import LiteRTSession

        with hushed("Loading"):
            return _quiet_at_first(LiteRTSession(path, text_operations=text_operations))
    import tensorflow as tf

    from keras_s2s.export.saved_model_session import SavedModelSession
    from keras_s2s.tokenizers.strings import import_text_ops

    if text_operations:
        import_text_ops()
    try:
        return SavedModelSession(path)
    except tf.errors.OpError as error:
        raise InputError(
            f"{path}: its variables are missing or damaged: {one_line(error.message)}"
        ) from error


def _quiet_at_first(session: Callable[..., Answer]) -> Callable[..., Answer]:
    """Hide what LiteRT writes to standard error when it prepares a signature."""
    prepared = set()

    def run(signature: str, inputs: dict[str, Any]) -> Answer:
        if signature in prepared:
            return session(signature, inputs)
        with hushed("Preparing the model"):
            found = session(signature, inputs)
        prepared.add(signature)
        return found

    return run


def _option(name: str) -> str:
    return "--nbest" if name == "num_hypotheses" else option_name(name)
