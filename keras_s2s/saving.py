"""Load `.keras` files: one, or several as one model.

`load` loads one file. `average_checkpoints` averages the weights of several files, and
`ensemble_checkpoints` combines several models into an ensemble.
"""

from __future__ import annotations

import io
import json
import math
import os
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import h5py
import keras
import numpy as np

from keras_s2s.checks import check_choice, count_of, one_line, short_repr
from keras_s2s.errors import InputError
from keras_s2s.models import Ensemble, Seq2Seq
from keras_s2s.models.model_settings import find_different_setting
from keras_s2s.saved_config import CONFIG, DAMAGE, read_config
from keras_s2s.search.ensemble import AVERAGES
from keras_s2s.tokenizers import Tokenizer
from keras_s2s.translator import Translator
from keras_s2s.translator_parts import check_vocabularies, find_different_vocabulary

_BEST = "best.keras"  # in the output folder of `keras-s2s train`
_WEIGHTS = "model.weights.h5"

_MAX_EXPANSION = 100  # ratio of the expanded size of an archive to its own size
_SIZES = ("units", "embedding_dim", "vocabulary_size", "input_dim", "output_dim")
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
        archive = _read_archive(filepath)
        _check_kind(archive.config)
        _check_sizes(archive)
        _check_registered(archive.config)
        _check_vocabularies(archive)
    except InputError as error:
        raise InputError(f"Cannot load {filepath!r}: {error}") from error.__cause__
    try:
        loaded = keras.saving.load_model(filepath)
        if isinstance(loaded, Translator):
            check_vocabularies(loaded.model, loaded.source, loaded.target)
    except Exception as error:
        raise InputError(
            f"Cannot load {filepath!r}: its parts do not make a model: {_reason(error)}"
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


class _Archive(NamedTuple):
    """Contents of a file that are read before the model is built."""

    config: Any
    vocabularies: int  # number of tokenizers with a vocabulary
    variables: int  # in the weights file
    values: int  # of all variables together


def _read_archive(filepath: str) -> _Archive:
    """Read and check a file, except for the values of the weights."""
    size = os.path.getsize(filepath)
    if filepath.endswith((".tflite", ".onnx")):
        raise InputError("it is an export. Expected: the .keras file that was exported")
    if not zipfile.is_zipfile(filepath):
        counted = count_of(size, "byte")
        raise InputError(
            f"it is not a zip archive ({counted}), as every .keras file is. It may be truncated"
        )
    if not filepath.endswith(".keras"):
        raise InputError("the name of a saved model must end in '.keras'; rename the file")
    try:
        with zipfile.ZipFile(filepath) as archive:
            parts = {part.filename: part.file_size for part in archive.infolist()}
            if sum(part.file_size for part in archive.infolist()) > _MAX_EXPANSION * size:
                raise InputError(f"it expands to more than {_MAX_EXPANSION} times its size")
            missing = {CONFIG, _WEIGHTS} - parts.keys()
            if missing:
                raise InputError(f"not a .keras file. Missing: {', '.join(sorted(missing))}")
            damaged = archive.testzip()
            if damaged is not None:
                raise InputError(f"its part {damaged!r} is damaged")
            config = read_config(archive)
            weights = archive.read(_WEIGHTS)
            owners = {os.path.dirname(name) for name in parts if name.startswith("assets/")}
            for name in parts:
                if name.endswith("/vocabulary.json"):
                    _check_vocabulary(name, archive.read(name))
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(f"it is damaged: {_reason(error)}") from error
    try:
        sizes = _variable_sizes(weights)
    except DAMAGE as error:
        raise InputError(f"its part {_WEIGHTS!r} is damaged: {_reason(error)}") from error
    return _Archive(config, len(owners), len(sizes), sum(sizes))


def _variable_sizes(weights: bytes) -> list[int]:
    """Return the size of each variable. Raise if a variable is larger than the file."""
    sizes: list[int] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            sizes.append(item.size or 0)
            if item.nbytes > len(weights):
                raise InputError(f"{name!r} claims the shape {item.shape}")

    with h5py.File(io.BytesIO(weights), "r") as file:
        file.visititems(visit)
    return sizes


def _check_kind(config: Any) -> None:
    """Raise if the file contains another kind of model."""
    expected = {f"keras_s2s>{kind.__name__}" for kind in (Translator, Seq2Seq, Ensemble)}
    found = config.get("registered_name") if isinstance(config, dict) else None
    if not isinstance(found, str) or found not in expected:
        raise InputError(
            f"it is another kind of model. Expected: {', '.join(sorted(expected))}. Received: "
            f"{found or _class_name(config)!r}"
        )


def _class_name(config: Any) -> Any:
    """Return the name of a class of Keras itself, such as "Sequential"."""
    return config.get("class_name") if isinstance(config, dict) else None


def _check_sizes(archive: _Archive) -> None:
    """Raise if the sizes in the config exceed the stored weights, before building a huge model."""
    for part in _parts(archive.config):
        given = part["config"] if isinstance(part.get("config"), dict) else {}
        name = part.get("class_name")
        sizes = {key: given[key] for key in _SIZES if given.get(key) is not None}
        layers = given.get("num_layers", 1)
        for key, value in {**sizes, "num_layers": layers}.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(
                    f"`{key}` of {name} must be a positive integer. Received: {short_repr(value)}"
                )
        least = max(sizes.values(), default=0)
        if "units" in sizes and "vocabulary_size" in sizes:
            units = sizes["units"]
            embeddings = sizes["vocabulary_size"] * sizes.get("embedding_dim", units)
            least = max(least, units * units * layers, embeddings)
        # A byte of a quantized variable stores at most two values.
        if least > 2 * archive.values or layers > archive.variables:
            described = {**sizes, "num_layers": layers}.items()
            listed = ", ".join(f"{key} {short_repr(value)}" for key, value in described)
            raise InputError(
                f"{name} is larger than its stored weights: {listed}, with "
                f"{count_of(archive.variables, 'variable')} of "
                f"{count_of(archive.values, 'value')} in {_WEIGHTS!r}"
            )


def _check_registered(config: Any) -> None:
    """Raise if a class or function is not registered by any imported module."""
    missing = set()
    for part in _parts(config):
        name = part["config"] if part.get("class_name") == "function" else part["registered_name"]
        if not isinstance(name, str) or name.startswith("keras_s2s>"):
            continue
        if ">" not in name and (part.get("class_name") == "function" or _is_of_keras(part)):
            continue
        if keras.saving.get_registered_object(name) is None:
            missing.add(name)
    if missing:
        raise InputError(
            f"it needs {', '.join(map(repr, sorted(missing)))}, which no imported module has "
            "registered with Keras. Import the module that defines it before loading; on the "
            "command line: --import MODULE. If the class itself is not registered, load the file "
            "in a `keras.saving.custom_object_scope({name: class})`"
        )


def _is_of_keras(part: dict[str, Any]) -> bool:
    """Return whether Keras itself finds the class of a serialized object."""
    module = part.get("module")
    return not isinstance(module, str) or module.partition(".")[0] in ("keras", "builtins")


def _parts(config: Any) -> Iterator[dict[str, Any]]:
    """Yield the serialized objects in a configuration, including nested ones."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "class_name" in value and "registered_name" in value and "config" in value:
                yield value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _check_vocabularies(archive: _Archive) -> None:
    """Raise if the file lacks the vocabulary of a tokenizer."""
    names = [it["registered_name"] for it in _parts(archive.config)]
    kinds = [keras.saving.get_registered_object(name) for name in names if isinstance(name, str)]
    tokenizers = [
        kind.__name__
        for kind in kinds
        if isinstance(kind, type) and issubclass(kind, Tokenizer) and hasattr(kind, "save_assets")
    ]
    if len(tokenizers) > archive.vocabularies:
        raise InputError(
            f"a vocabulary is missing. Expected: those of {' and '.join(sorted(tokenizers))}"
        )


def _check_vocabulary(name: str, content: bytes) -> None:
    """Raise if a vocabulary is not a list of tokens."""
    try:
        tokens = json.loads(content)
    except DAMAGE as error:
        raise InputError(f"its part {name!r} is damaged: {_reason(error)}") from error
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise InputError(f"its part {name!r} is not a list of tokens")


def _reason(error: Exception) -> str:
    """Return the message of an error in one line, with the class of the error if necessary."""
    if isinstance(error, ValueError | OSError | zipfile.BadZipFile):
        return one_line(error)
    return one_line(f"{type(error).__name__}: {error}")


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
