"""Callbacks of `fit`."""

from __future__ import annotations

import keras
import pytest

from keras_s2s.callbacks import Resume
from keras_s2s.fit_callback import FitCallback, HasState, StopsTraining
from keras_s2s.models import fit_arguments


@pytest.mark.parametrize("callbacks", [keras.callbacks.EarlyStopping, ["early"]])
def test_what_is_not_a_callback_is_rejected(callbacks):
    with pytest.raises(TypeError, match=r"`callbacks` must be a list of `keras\.callbacks\.Call"):
        fit_arguments.sort_callbacks(callbacks)


class Hooked(FitCallback):
    """Callback that records the calls of its hooks."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def begin_fit(self, model, arguments, callbacks):
        self.calls.append((model, callbacks.index(self)))

    def end_fit(self):
        self.calls.append("end")


def test_hooks_are_called_even_if_fit_fails_and_other_callbacks_stay_as_they_are():
    hooked, plain = Hooked(), keras.callbacks.LambdaCallback()
    arguments = {"callbacks": [plain, hooked], "initial_epoch": 0}
    with pytest.raises(ValueError, match="failed"), fit_arguments.fit_hooks("model", arguments):
        raise ValueError("failed")
    assert hooked.calls == [("model", 2), "end"]  # after the clock and the other callback
    assert arguments["callbacks"] == [plain, hooked]


def test_a_callback_needs_no_base_class_for_its_state_and_its_end(tmp_path):
    class Own(keras.callbacks.Callback):
        state_attributes = ("best",)

        def is_over(self):
            return True

    own, plain = Own(), keras.callbacks.LambdaCallback()
    assert isinstance(own, HasState)
    assert isinstance(own, StopsTraining)
    assert not isinstance(plain, HasState | StopsTraining)
    resume = Resume(tmp_path)
    assert fit_arguments.sort_callbacks([resume, own, plain]) == [own, plain, resume]
