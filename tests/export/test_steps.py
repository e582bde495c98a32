"""Exports check their translator first, and print their progress as Keras's exports do."""

from __future__ import annotations

import contextlib
import logging
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.served import shared_translator, tiny_translator

from keras_s2s import Seq2Seq, Translator
from keras_s2s.export.steps import check_answers, check_translator, make_texts, show_progress

LOGGER = logging.getLogger("keras_s2s.export.litert_export")


@pytest.fixture(scope="module")
def translator():
    return shared_translator()


def test_only_a_translator_can_be_exported(translator):
    with pytest.raises(
        TypeError, match=r"Only a `Translator` .* can be exported.*Received: Seq2Seq"
    ):
        check_translator(translator.model)


def test_an_untrained_model_can_be_exported(translator):
    """For smoke tests, benchmarks, and biases imported as zeros."""
    model = Seq2Seq.from_config(translator.model.get_config())
    check_translator(Translator(model, translator.source, translator.target))


def test_weights_that_are_not_finite_are_refused_by_name():
    translator = tiny_translator()
    kernel = translator.model.decoder.logits.kernel
    kernel.assign(tf.where(tf.range(kernel.shape[1]) == 0, np.nan, kernel))
    with pytest.raises(ValueError, match=rf"has diverged. Received: 6 of .*'{kernel.path}'"):
        check_translator(translator)


@pytest.mark.parametrize("value", [3e38, -3e38])
def test_finite_weights_that_overflow_are_refused(value):
    translator = tiny_translator()
    kernel = translator.model.decoder.logits.kernel
    kernel.assign(tf.fill(kernel.shape, value))
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=r"diverged|finite"):
        check_answers(translator, ["hello", "a"])


@pytest.mark.parametrize(("probes", "num_longer"), [(["hello", "zebra", "ab"], 2), (["a"], 0)])
def test_probes_that_are_too_long_are_reported(translator, caplog, probes, num_longer):
    with caplog.at_level(logging.INFO, "keras_s2s.export"):
        texts = make_texts(translator, iter(probes), 5)
    told = [it.getMessage() for it in caplog.records if it.getMessage().startswith("Leaving")]
    assert len(told) == (num_longer > 0)
    if num_longer:
        assert told[0].startswith("Leaving out 2 of 3 probes: longer than the fixed source length")
    assert texts[0] == probes[-1]


@pytest.mark.parametrize("probes", ["hello", 3])
def test_probes_must_be_a_list(translator, probes):
    with pytest.raises(TypeError, match=r"`probes` must be a list of str. Received: probes="):
        make_texts(translator, probes, 5)


def export(verbose):
    with show_progress(verbose):
        LOGGER.info("converting %d of %d", 1, 2)
        LOGGER.debug("not shown")


def test_a_line_is_printed_before_each_step(capsys):
    export(verbose=True)
    assert capsys.readouterr().out == "Converting 1 of 2\n"


def test_a_handler_of_the_root_logger_does_not_repeat_the_lines(capsys):
    handler = logging.StreamHandler(sys.stdout)
    logging.getLogger().addHandler(handler)
    try:
        export(verbose=True)
    finally:
        logging.getLogger().removeHandler(handler)
    assert capsys.readouterr().out == "Converting 1 of 2\n"


@pytest.mark.parametrize("fails", [False, True])
def test_logging_is_restored(capsys, fails):
    parent = logging.getLogger("keras_s2s.export")
    before = parent.level, parent.propagate, list(parent.handlers)
    with contextlib.suppress(OSError), show_progress(True):
        if fails:
            raise OSError("an export that fails")
    assert (parent.level, parent.propagate, parent.handlers) == before
    LOGGER.info("afterwards")
    assert capsys.readouterr().out == ""


def test_progress_can_be_turned_off(capsys, caplog):
    export(verbose=False)
    keras.config.disable_interactive_logging()
    try:
        export(verbose=True)
    finally:
        keras.config.enable_interactive_logging()
    with caplog.at_level(logging.INFO, "keras_s2s"):  # the program's own logging shows the messages
        export(verbose=True)
    assert capsys.readouterr().out == ""
    assert caplog.messages == ["converting 1 of 2"]
