"""Callbacks for `fit`."""

from keras_s2s.callbacks.resume import Resume
from keras_s2s.callbacks.scheduled_sampling import ScheduledSampling
from keras_s2s.callbacks.search_evaluation import SearchEvaluation

__all__ = ["Resume", "ScheduledSampling", "SearchEvaluation"]
