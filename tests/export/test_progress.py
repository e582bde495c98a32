"""An export prints its progress, as Keras's exports do."""

from __future__ import annotations

import contextlib
import logging
import sys

import keras
import pytest

from keras_s2s.export.progress import show_progress

LOGGER = logging.getLogger("keras_s2s.export.litert_export")


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
def test_logging_is_left_as_it_was(capsys, fails):
    parent = logging.getLogger("keras_s2s.export")
    before = parent.level, parent.propagate, list(parent.handlers)
    with contextlib.suppress(OSError), show_progress(True):
        if fails:
            raise OSError("an export that fails")
    assert (parent.level, parent.propagate, parent.handlers) == before
    LOGGER.info("afterwards")
    assert capsys.readouterr().out == ""


def test_nothing_is_printed_when_not_wanted(capsys, caplog):
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
