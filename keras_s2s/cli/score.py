"""`keras-s2s score`: score given targets."""

from __future__ import annotations

import itertools
import json

import click

from keras_s2s.cli.features import features_column_of, read_checked_pairs
from keras_s2s.cli.loading import load_model
from keras_s2s.cli.model_paths import settings_of_run
from keras_s2s.cli.options import (
    BATCH_SIZE,
    FEATURES_COLUMN,
    IMPORT,
    MODEL,
    PAIRS,
    option,
)
from keras_s2s.cli.streams import progress, write_line
from keras_s2s.errors import InputError
from keras_s2s.special_ids import POSSIBLE

_GROUP = 8  # batches


@click.command(short_help="Compute the log probability of given targets.")
@MODEL
@PAIRS
@FEATURES_COLUMN
@option("--json", "as_json", is_flag=True, help="Write one line of JSON per pair.")
@IMPORT
@BATCH_SIZE
def score(
    model: str, pairs: str, features_column: int | None, as_json: bool, batch_size: int
) -> None:
    """Write the log probability and the score of each pair of a file, in the same order.

    PAIRS is a file of source<TAB>target lines. Each output line has two columns, separated by a
    tab: log_prob and score. log_prob is log P(target | source) in nats, including eos. The score is
    log_prob / length**α, as in the model's search.
    """
    column = features_column_of(features_column, settings_of_run(model))
    listed = read_checked_pairs(pairs, column)
    answering = load_model(model, tensorflow=False)
    waiting = enumerate(listed, 1)
    with progress("Scoring", len(listed), between_answers=True) as advance:
        while group := list(itertools.islice(waiting, _GROUP * batch_size)):
            found = answering.scores([pair for _, pair in group], batch_size)
            for (number, (source, target)), (log_prob, value) in zip(group, found, strict=True):
                if value <= POSSIBLE:
                    raise InputError(f"{pairs}, line {number}: {answering.why_unscored(source)}")
                if as_json:
                    line = {"source": source, "target": target}
                    figures = {"log_prob": log_prob, "score": value}
                    write_line(json.dumps(line | figures, ensure_ascii=False))
                else:
                    write_line(f"{log_prob:.6f}\t{value:.6f}")
            advance(len(group))
