"""The loss, the metrics and the callbacks of training."""

from keras_s2s.training.perplexity import Perplexity
from keras_s2s.training.resume import Resume
from keras_s2s.training.scheduled_sampling import ScheduledSampling
from keras_s2s.training.sequence_loss import SequenceLoss
from keras_s2s.training.token_accuracy import TokenAccuracy

__all__ = ["Perplexity", "Resume", "ScheduledSampling", "SequenceLoss", "TokenAccuracy"]
