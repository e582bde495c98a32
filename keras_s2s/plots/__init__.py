"""Plots of attention, beam searches, training histories, lengths and errors.

Every function returns a matplotlib figure, and also writes it as PNG or SVG if a `path` is given.
matplotlib comes with the `plots` extra and is imported only when a plot is drawn.
"""

from keras_s2s.plots.attention_picture import attention, attention_map
from keras_s2s.plots.beam_picture import beam_search, beam_tree
from keras_s2s.plots.beam_trace import BeamTrace, Candidate, trace_beam_search
from keras_s2s.plots.charts import errors_by_length, length_histogram, reliability
from keras_s2s.plots.curves import learning_curves

__all__ = [
    "BeamTrace",
    "Candidate",
    "attention",
    "attention_map",
    "beam_search",
    "beam_tree",
    "errors_by_length",
    "learning_curves",
    "length_histogram",
    "reliability",
    "trace_beam_search",
]
