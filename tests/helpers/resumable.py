"""A training that may be killed at any step: `python resumable.py FOLDER OUTPUT KILL_AT`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_s2s.callbacks import Resume, ScheduledSampling
from keras_s2s.data import make_dataset
from keras_s2s.layers import LSTMDecoder, LSTMEncoder
from keras_s2s.losses import SequenceLoss
from keras_s2s.metrics import Perplexity
from keras_s2s.models import Seq2Seq
from keras_s2s.tokenizers import CharTokenizer, WordTokenizer

TEXTS = [first + second for first in "abcde" for second in "abcde"]
PAIRS = [(text, " ".join(reversed(text))) for text in TEXTS]
SOURCE = CharTokenizer.train(TEXTS)
TARGET = WordTokenizer.train(target for _, target in PAIRS)
STEPS = 7  # per epoch


class KillAt(keras.callbacks.Callback):
    """Callback that kills the process abruptly after a number of optimizer steps."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if int(self.model.optimizer.iterations.numpy()) == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def make_model(**kwargs: Any) -> Seq2Seq:
    keras.utils.set_random_seed(3)
    model = Seq2Seq(
        LSTMEncoder(SOURCE.vocabulary_size, 4, dropout=0.2, recurrent_dropout=0.2),
        LSTMDecoder(TARGET.vocabulary_size, 4, dropout=0.2, word_dropout=0.1),
    )
    optimizer = keras.optimizers.Adam(0.05, use_ema=True, ema_momentum=0.9)
    model.compile(optimizer, loss=SequenceLoss(), metrics=[Perplexity()], **kwargs)
    return model


def make_data() -> Any:
    return make_dataset(PAIRS, SOURCE, TARGET, batch_size=4, shuffle=True, seed=0)


def train(
    folder: str | Path, kill_at: int = 0, epochs: int = 4, every: Any = 2, **kwargs: Any
) -> Seq2Seq:
    """Train with stateful callbacks, deliberately not in the right order."""
    model = make_model()
    callbacks = [
        Resume(folder, every=every),
        keras.callbacks.ReduceLROnPlateau("perplexity", patience=1, min_delta=0.5),
        keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
        ScheduledSampling(scale=10, choice="sample"),
        KillAt(kill_at),
    ]
    model.fit(make_data(), epochs=epochs, verbose=0, callbacks=callbacks, **kwargs)
    return model


if __name__ == "__main__":
    folder, output, kill_at = sys.argv[1:]
    model = train(folder, int(kill_at))
    np.savez(output, *model.get_weights(), perplexity=model.history.history["perplexity"])
