"""Load `.keras` files: one, or several as one model.

`load` loads one file. `average_checkpoints` averages the weights of several files, and
`ensemble_checkpoints` combines several models into an ensemble.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_s2s.archive import check_archive, reason_of
from keras_s2s.checks import check_choice, short_repr
from keras_s2s.errors import InputError
from keras_s2s.models import Ensemble, Seq2Seq
from keras_s2s.models.model_settings import find_different_setting
from keras_s2s.search.ensemble import AVERAGES
from keras_s2s.translator import Translator
from keras_s2s.translator_parts import check_vocabularies, find_different_vocabulary

_BEST = "best.keras"  # in the output folder of `keras-s2s train`
_MIN_COSINE = 0.1  # of the matrices of models trained from the same initial weights


def load(filepath: str | os.PathLike[str]) -> Translator | Seq2Seq | Ensemble:
    """Load a translator, or a bare model, from its `.keras` file.

    Loading a file never runs code from the file. A damaged file is rejected before memory for its
    weights is allocated. Before loading, import the modules that define your own classes or
    functions, so that they are registered with Keras. (`keras.saving.load_model` works too, if
    `keras` was imported before `keras_s2s`.)

    Args:
        filepath: Path of the `.keras` file, or of a folder with a file named `best.keras`, such as
            the output folder of `keras-s2s train`.

    Returns:
        The `Translator`, or the `Seq2Seq` or `Ensemble` if the file contains one. Its outputs are
        those of the saved object.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is truncated, damaged, or contains something else, or if a class or
            function that the model needs is not registered.
    """
    filepath = _find_file(filepath)
    if not os.path.isfile(filepath):
        raise FileNotFoundError(f"Cannot load {filepath!r}: {_why_no_file(filepath)}")
    try:
        check_archive(filepath, (Translator, Seq2Seq, Ensemble))
    except InputError as error:
        raise InputError(f"Cannot load {filepath!r}: {error}") from error.__cause__
    try:
        loaded = keras.saving.load_model(filepath)
        if isinstance(loaded, Translator):
            check_vocabularies(loaded.model, loaded.source, loaded.target)
    except Exception as error:
        raise InputError(
            f"Cannot load {filepath!r}: its parts do not make a model: {reason_of(error)}"
        ) from error
    return loaded


def average_checkpoints(
    paths: Iterable[str | os.PathLike[str]],
) -> Translator | Seq2Seq | Ensemble:
    """Load several `.keras` files and return the first model with the mean of their weights.

    Checkpoints from the end of one training run lie near the same minimum. Their mean is often
    more accurate than the last checkpoint, at no extra cost at inference. To write such
    checkpoints, use for example `keras.callbacks.ModelCheckpoint("run/{epoch:03d}.keras")`. You can
    also average models that were fine-tuned from one trained model, with different learning rates
    or pairs. Models trained from different initial weights have no meaningful mean, and a warning
    says so. Combine them with `ensemble_checkpoints`.

    The files are loaded one at a time. Everything except the weights, including the search and the
    vocabularies, comes from the first file. Compile the model again before further training. A
    temperature is valid only for the checkpoint that it was fitted to, so it is reset to 1. To fit
    it again, use `Translator.calibrate`.

    Args:
        paths: Paths of the `.keras` files.

    Returns:
        The object from the first file, with the mean of all weights.

    Raises:
        TypeError: If `paths` is a single path.
        FileNotFoundError: If a file does not exist.
        ValueError: If there are no paths, a file is damaged, a model is quantized, or the models
            differ in class, vocabulary or a setting that changes what they compute, such as
            `units` or `context`. Dropout rates may differ.

    Example:
        >>> import os, tempfile
        >>> model = Seq2Seq(LSTMEncoder(10, 4), LSTMDecoder(12, 4))
        >>> paths = [os.path.join(tempfile.mkdtemp(), "model.keras") for _ in range(2)]
        >>> for path in paths:
        ...     model.save(path)
        >>> averaged = average_checkpoints(paths)
        >>> np.array_equal(averaged.get_weights()[0], model.get_weights()[0])
        True

    References:
        - [Attention is all you need (Vaswani et al., 2017), section 6.1](
          https://arxiv.org/abs/1706.03762), averages the last checkpoints
        - [Model soups (Wortsman et al., 2022)](https://arxiv.org/abs/2203.05482), averages
          models fine-tuned from one pretrained model
    """
    names = _check_paths(paths)
    model = load(names[0])
    weights = model.get_weights()
    if any(np.issubdtype(np.asarray(weight).dtype, np.integer) for weight in weights):
        raise InputError(
            "`paths` must be checkpoints that are not quantized: quantize their mean. Received: "
            f"{names[0]!r}, whose weights include integers"
        )
    sums = [np.asarray(weight, np.float64) for weight in weights]
    unrelated: list[str] = []
    for name in names[1:]:
        other = load(name)
        difference = _find_difference(model, other)
        if difference is not None:
            raise InputError(
                "`paths` must be checkpoints of one model. Received: "
                f"{names[0]!r} and {name!r}, whose {difference}"
            )
        other_weights = other.get_weights()
        if not _are_related(weights, other_weights):
            unrelated.append(name)
        sums = [total + weight for total, weight in zip(sums, other_weights, strict=True)]
    if unrelated:
        warnings.warn(
            f"{', '.join(map(repr, unrelated))}: trained from other initial weights than "
            f"{names[0]!r}, so the mean of their weights is not a useful model. Combine the models "
            "in an ensemble instead.",
            stacklevel=2,
        )
    model.set_weights([total / len(names) for total in sums])
    if isinstance(model, Translator) and model.temperature is not None and len(names) > 1:
        model.temperature = 1.0
    return model


def ensemble_checkpoints(
    paths: Iterable[str | os.PathLike[str]], average: str = "probabilities"
) -> Translator:
    """Load several translators, and combine their models into the translator of one `Ensemble`.

    The models must have the same vocabularies and may differ in everything else. If one of them is
    an ensemble, each of its members counts as much as any other model. The search, the limits and
    the other settings come from the first file. A temperature is valid only for the model that it
    was fitted to, so it is reset to 1. To fit it again, use `Translator.calibrate`.

    Args:
        paths: Paths of the `.keras` files, or of folders with a file named `best.keras`.
        average: "probabilities" for the arithmetic mean of the members' probabilities at each step,
            or "log_probabilities" for the geometric mean. Defaults to "probabilities".

    Returns:
        The `Translator` of the ensemble.

    Raises:
        TypeError: If `paths` is a single path.
        FileNotFoundError: If a file does not exist.
        ValueError: If there are no paths, a file is damaged, is given twice or has no tokenizers,
            the vocabularies differ, `average` is unknown, or one of the models is an ensemble with
            another `average`.

    Example:
        >>> import os, tempfile
        >>> source = CharTokenizer.train(["ab"])
        >>> target = WordTokenizer.train(["A B"])
        >>> folder = tempfile.mkdtemp()
        >>> paths = [os.path.join(folder, f"{units}.keras") for units in (4, 6)]
        >>> for path, units in zip(paths, (4, 6)):
        ...     model = Seq2Seq(LSTMEncoder(source.vocabulary_size, units),
        ...                     LSTMDecoder(target.vocabulary_size, units))
        ...     Translator(model, source, target).save(path)
        >>> len(ensemble_checkpoints(paths).model.members())
        2
    """
    check_choice("average", average, AVERAGES)
    names = _check_paths(paths)
    seen: dict[str, str] = {}
    for name in names:
        file = os.path.realpath(_find_file(name))
        if file in seen:
            raise InputError(
                f"Cannot combine {name!r}: it is the same model as {seen[file]!r}. Expected: "
                "different models"
            )
        seen[file] = name
    first, *others = translators = [_load_member(name, average) for name in names]
    for name, other in zip(names[1:], others, strict=True):
        side = find_different_vocabulary(first, other)
        if side is not None:
            raise InputError(
                f"Cannot combine {name!r}: its {side} tokenizer differs from that of "
                f"{names[0]!r}. Expected: models trained with the same vocabularies"
            )
    members = [member for translator in translators for member in translator.model.members()]
    return Translator(
        Ensemble(members, average=average),
        first.source,
        first.target,
        search=first.search,
        replace_unknown=first.replace_unknown,
        confidence=first.temperature is not None,
        max_source_length=first.max_source_length,
        truncate_source=first.truncate_source,
    )


def _load_member(name: str, average: str) -> Translator:
    """Load a translator for an ensemble."""
    loaded = load(name)
    if not isinstance(loaded, Translator):
        raise InputError(
            f"Cannot combine {name!r}: it is a bare model without tokenizers. Expected: a "
            "translator, as saved by `Translator.save` or `keras-s2s train`"
        )
    inner = loaded.model.average if isinstance(loaded.model, Ensemble) else average
    if inner != average:
        raise InputError(
            f"Cannot combine {name!r}: it is an ensemble that averages {inner}. Expected: one that "
            f"averages {average}, as the new ensemble does. Choose the same average for both, or "
            "combine the models of the inner ensemble"
        )
    return loaded


def _check_paths(paths: Any) -> list[str]:
    """Return the paths in a list, or raise an error if there are none."""
    if isinstance(paths, str | bytes | os.PathLike):
        raise TypeError(f"`paths` must be a list of paths. Received: paths={short_repr(paths)}")
    names = [os.fspath(path) for path in paths]
    if not names:
        raise InputError("`paths` must contain at least one path. Received: none")
    return names


def _find_file(filepath: str | os.PathLike[str]) -> str:
    """Return the path of `best.keras` in a folder that has it, and any other path as it is."""
    filepath = os.fspath(filepath)
    best = os.path.join(filepath, _BEST)
    return best if os.path.isfile(best) else filepath


def _why_no_file(filepath: str) -> str:
    """Explain why a path is not a file, and suggest a file."""
    if not os.path.isdir(filepath):
        return "there is no such file"
    names = sorted(os.listdir(filepath))
    files = [name for name in names if name.endswith(".keras")]
    if files:
        return f"it is a folder. Did you mean {os.path.join(filepath, files[0])!r}?"
    if "saved_model.pb" in names or any(name.isdecimal() for name in names):
        return "it is the folder of a SavedModel. Expected: the .keras file that was exported"
    return "it is a folder. Expected: a .keras file"


def _are_related(weights: list[Any], others: list[Any]) -> bool:
    """Return whether two models seem to be trained from the same initial weights.

    The cosine of the matrices of two checkpoints of one run was at least 0.7, even between its
    first and last epochs, and that of independent runs at most 0.01.
    """
    matrices = [
        (np.asarray(one, np.float64).ravel(), np.asarray(other, np.float64).ravel())
        for one, other in zip(weights, others, strict=True)
        if np.ndim(one) >= 2
    ]
    product = sum(np.dot(one, other) for one, other in matrices)
    norms = [sum(np.dot(side, side) for side in sides) for sides in zip(*matrices, strict=True)]
    return bool(product >= _MIN_COSINE * math.sqrt(math.prod(norms)))


def _find_difference(model: Any, other: Any) -> str | None:
    """Return in what two models differ that have no meaningful mean, or `None`."""
    if type(model) is not type(other):
        return f"classes differ: {type(model).__name__} and {type(other).__name__}"
    models = [it.model if isinstance(it, Translator) else it for it in (model, other)]
    different = find_different_setting(*models)
    if different is not None:
        name, *values = different
        return f"models differ in {name}: {' and '.join(map(short_repr, values))}"
    first, second = ([tuple(weight.shape) for weight in it.weights] for it in models)
    if first != second:
        return "weights differ in shape"
    if isinstance(model, Translator):
        side = find_different_vocabulary(model, other)
        if side is not None:
            return f"{side} vocabularies differ"
    return None
