"""Export, run in the runtime it was exported for: TensorFlow only for a SavedModel."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from keras_s2s.checks import one_line
from keras_s2s.cli.models import Model
from keras_s2s.cli.streams import hushed
from keras_s2s.errors import InputError

if TYPE_CHECKING:
    from keras_s2s.cli.models import Answer


class ExportedModel(Model):
    """Export.

    Args:
        session: Function from the name of a signature and its inputs to the outputs.
        card: Model card; empty if the export has none.
    """

    def __init__(
        self, session: Callable[[str, dict[str, Any]], Answer], card: Mapping[str, Any]
    ) -> None:
        self._session, self._card = session, card
        limits = [card.get(name) for name in ("max_source_length", "source_length")]
        self.limit = min((it for it in limits if it is not None), default=None)

    def search(self, texts: list[bytes]) -> Answer:
        return self._ask("serving_default", source=texts)

    def score(self, texts: list[bytes], targets: list[bytes]) -> Answer:
        return self._ask("score", source=texts, target=targets)

    def columns(self) -> str | None:
        return "features" if self._tokenizer("source") == "FeatureTokenizer" else None

    def target_unit(self) -> str:
        import keras_s2s
        from keras_s2s.evaluation import unit_of

        kind = getattr(keras_s2s, self._tokenizer("target"), None)
        return "words" if kind is None else unit_of(kind)

    def _tokenizer(self, side: str) -> str:
        """Return the name of the class of a tokenizer; "" if it is unknown."""
        return self._card.get(side, {}).get("class", "")

    def _ask(self, signature: str, **texts: list[bytes]) -> Answer:
        import numpy as np

        inputs = {name: np.array(given, object) for name, given in texts.items()}
        return self._session(signature, inputs)


def load_export(path: str) -> ExportedModel:
    """Load an export.

    Args:
        path: Path of a `.tflite` or `.onnx` file, or of the folder of a SavedModel.

    Returns:
        The `ExportedModel`.

    Raises:
        ValueError: If the export is damaged.
        ImportError: If a package that the runtime needs is not installed.
    """
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
    return ExportedModel(session, card)


def _session(path: str, *, text_operations: bool) -> Callable[[str, dict[str, Any]], Answer]:
    """Create the session of an export, with the operations of tensorflow-text if requested."""
    if path.endswith(".onnx"):
        from keras_s2s.export.sessions import OnnxSession

        return OnnxSession(path)
    if not os.path.isdir(path):
        from keras_s2s.export.litert_runner import load_text_operations
        from keras_s2s.export.sessions import LiteRTSession

        if text_operations:  # apart from the file, whose errors would show the libraries' messages
            with hushed("Loading"):
                load_text_operations()
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
