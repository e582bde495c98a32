"""Averaging the weights of several checkpoints."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_s2s.errors import InputError
from keras_s2s.saving import load

if TYPE_CHECKING:
    from keras_s2s.models import Ensemble, Seq2Seq
    from keras_s2s.translator import Translator


def average_checkpoints(
    paths: Iterable[str | os.PathLike[str]],
) -> Translator | Seq2Seq | Ensemble:
    """Load several `.keras` files and return the first model with the mean of their weights.

    Checkpoints from the end of one training run lie around the same minimum. Their mean is often
    more accurate than the last checkpoint, at no extra cost at inference. Such checkpoints are
    written by `keras.callbacks.ModelCheckpoint("run/{epoch:03d}.keras")`, for instance. Models
    fine-tuned from one trained model, with other learning rates or on other pairs, can be averaged
    too. Models trained from different initial weights have no meaningful mean: combine them in an
    `Ensemble`.

    The files are loaded one at a time. Everything except the weights, including the search and the
    vocabularies, comes from the first file. Compile the model again before further training.

    Args:
        paths: Paths of the `.keras` files.

    Returns:
        The object in the first file, with the mean of all weights.

    Raises:
        TypeError: If `paths` is a single path.
        FileNotFoundError: If a file does not exist.
        ValueError: If there are no paths, a file is damaged, or the models differ in class or
            size.

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
    if isinstance(paths, str | bytes | os.PathLike):
        raise TypeError(f"`paths` must be a list of paths. Received: paths={paths!r}")
    names = [os.fspath(path) for path in paths]
    if not names:
        raise InputError("`paths` must hold at least one path. Received: none")
    model = load(names[0])
    sums = [np.asarray(weight, np.float64) for weight in model.get_weights()]
    for name in names[1:]:
        other = load(name)
        _check_alike(model, other, names[0], name)
        sums = [total + weight for total, weight in zip(sums, other.get_weights(), strict=True)]
    model.set_weights([total / len(names) for total in sums])
    return model


def _check_alike(model: Any, other: Any, path: str, other_path: str) -> None:
    """Raise if the classes of the models or the shapes of their weights differ."""
    shapes = [
        (type(it).__name__, [tuple(weight.shape) for weight in it.weights]) for it in (model, other)
    ]
    if shapes[0] != shapes[1]:
        raise InputError(
            "`paths` must be checkpoints of one model. Received: "
            f"{path!r} and {other_path!r}, whose models differ in kind or size"
        )
