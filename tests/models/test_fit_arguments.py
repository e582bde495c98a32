"""Callbacks of `fit`."""

from __future__ import annotations

import keras
import pytest

from keras_s2s.models import fit_arguments


@pytest.mark.parametrize("callbacks", [keras.callbacks.EarlyStopping, ["early"]])
def test_what_is_not_a_callback_is_rejected(callbacks):
    with pytest.raises(TypeError, match=r"`callbacks` must be a list of `keras\.callbacks\.Call"):
        fit_arguments.sort_callbacks(callbacks)
