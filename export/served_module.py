"""A translator as TensorFlow functions, the basis of all exports."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_s2s.errors import InputError
from keras_s2s.export.signatures import OPTIONS_MAX_LENGTH, input_specs, takes_text
from keras_s2s.special_ids import EOS_ID, UNK_ID
from keras_s2s.translator import Translator

Outputs = dict[str, tf.Tensor]


class ServedModule(tf.Module):
    """Module with the parts of a translator to save: its weights and its tables, each once.

    It does not hold the translator itself. A `tf.Module` that holds a Keras model is saved with a
    second copy of each variable, and a model server then fails with "Could not find variable".

    Args:
        translator: The `Translator`.
        names: The signatures to save. If all of them take ids, the vocabularies are left out.
    """

    def __init__(self, translator: Translator, names: Iterable[str] = ("serving_default",)) -> None:
        super().__init__(name="keras_s2s")
        self.variables_ = [weight.value for weight in translator.model.weights]
        if any(map(takes_text, names)):
            self.tables = [*translator.source.tables, *translator.target.tables]

    def size(self) -> int:
        """Return the size of the weights in bytes."""
        return sum(
            int(np.prod(variable.shape)) * variable.dtype.size for variable in self.variables_
        )


def check_translator(translator: Any) -> None:
    """Check that a translator can be exported.

    Args:
        translator: The value to check.

    Raises:
        TypeError: If it is not a `Translator`.
        ValueError: If a weight is not finite.
    """
    if not isinstance(translator, Translator):
        raise TypeError(
            "Only a `Translator` can be exported: a model with its tokenizers and its search. "
            f"Received: {translator!r} (type {type(translator)})"
        )
    weights = [(weight.path, np.asarray(weight)) for weight in translator.model.weights]
    for path, values in weights:
        spoilt = int(np.sum(~np.isfinite(values)))
        if spoilt:
            raise InputError(
                "The weights of an exported translator must be finite, but its training has "
                f"diverged. Received: {spoilt} of {values.size} values of {path!r} that are not "
                "finite"
            )


def check_answers(translator: Translator, texts: list[str]) -> None:
    """Raise if finite weights produce logits that are not finite: the model has diverged too.

    Args:
        translator: The `Translator`.
        texts: Texts to try.

    Raises:
        ValueError: If the logits are NaN, infinite or all -inf.
    """
    source_ids = translator.source.tokenize(tf.constant(texts[:8]))
    size = translator.model.target_vocabulary_size
    target_ids = tf.tile([[UNK_ID, size - 1, EOS_ID]], [tf.shape(source_ids)[0], 1])
    translator.model.log_prob(source_ids, target_ids)


def trace(
    translator: Translator,
    names: Iterable[str],
    *,
    batch: int | None = None,
    source_length: int | None = None,
) -> dict[str, Any]:
    """Trace the signatures of a translator into graphs.

    Args:
        translator: The `Translator`.
        names: The signatures to trace.
        batch: Number of rows of every input; None for any.
        source_length: Length of "source_ids"; None for any.

    Returns:
        A concrete function for each name. The functions use variables of the translator, which a
        `ServedModule` must hold when they are saved.
    """
    functions = _functions(translator)
    return {
        name: tf.function(
            functions[name],
            input_signature=input_specs(name, batch=batch, source_length=source_length),
            autograph=False,
        ).get_concrete_function()
        for name in names
    }


def save(module: ServedModule, functions: dict[str, Any], path: str) -> None:
    """Write a SavedModel.

    Args:
        module: The module that holds the variables and tables of the functions.
        functions: A concrete function for each signature.
        path: Destination folder.

    Raises:
        OSError: If writing fails, for example because the disk is full.
    """
    try:
        tf.saved_model.save(module, path, signatures=functions)
    except tf.errors.OpError as error:
        raise OSError(f"Could not write the SavedModel to {path!r}: {error.message}") from error


def write_file(path: str, content: bytes) -> None:
    """Write a file, and name it in any error.

    Args:
        path: Destination path.
        content: The bytes to write.

    Raises:
        OSError: If writing fails. It names the path, which Python omits when the disk is full.
    """
    try:
        with open(path, "wb") as file:
            file.write(content)
    except OSError as error:
        raise OSError(error.errno, f"Could not write the file: {error.strerror}", path) from error


def _functions(translator: Translator) -> dict[str, Callable[..., Outputs]]:
    """Return the Python function of each signature."""
    search = translator.search
    longest = max(OPTIONS_MAX_LENGTH, search.max_length or 0)

    def serving_default(source: tf.Tensor) -> Outputs:
        return translator.search_texts(source, search)

    def greedy(source: tf.Tensor) -> Outputs:
        return translator.search_texts(source, translator.greedy_search())

    def ids(source_ids: tf.Tensor) -> Outputs:
        return translator.search_ids(source_ids, search)

    def greedy_ids(source_ids: tf.Tensor) -> Outputs:
        return translator.search_ids(source_ids, translator.greedy_search())

    def score_ids(source_ids: tf.Tensor, target_ids: tf.Tensor) -> Outputs:
        return translator.score_ids(source_ids, target_ids, max_target_length=longest)

    def score(source: tf.Tensor, target: tf.Tensor) -> Outputs:
        return translator.score_texts(source, target, max_target_length=longest)

    def options(
        source: tf.Tensor, max_length: tf.Tensor, min_length: tf.Tensor, length_penalty: tf.Tensor
    ) -> Outputs:
        return translator.search_texts(
            source,
            search,
            max_length=tf.minimum(max_length, longest),
            min_length=min_length,
            length_penalty=length_penalty,
        )

    functions = (serving_default, greedy, ids, score, options, greedy_ids, score_ids)
    return {function.__name__: function for function in functions}
