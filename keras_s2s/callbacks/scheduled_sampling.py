"""`ScheduledSampling`: gradual transition from teacher forcing to the model's own outputs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from keras_s2s.checks import check_choice, check_number, short_repr
from keras_s2s.fit_callback import FitCallback
from keras_s2s.models.own_outputs import CHOICES

_SCHEDULES: dict[str, Callable[[float, float], float]] = {
    "linear": lambda step, k: 1.0 - step / k,
    "exponential": lambda step, k: math.exp(-step / k),
    # 1 / (1 + exp(i/k) / k), where exp(i/k) may overflow
    "inverse_sigmoid": lambda step, k: 1.0 / (1.0 + math.exp(min(step / k - math.log(k), 700.0))),
}


class ScheduledSampling(FitCallback):
    """Callback that feeds the decoder more and more of its own outputs during training.

    At optimizer step i, an input of the decoder is the previous label with probability ε_i, and the
    model's own output with probability p_i = min(maximum, 1 - ε_i). With the scale k:

        linear:           ε_i = 1 - i / k
        exponential:      ε_i = exp(-i / k)
        inverse_sigmoid:  ε_i = k / (k + exp(i / k))

    See `Seq2Seq.feed_own_outputs` for the choice of outputs and the cost. The logs of each epoch
    contain the probability as "sampling_probability". At the end of `fit`, even if `fit` failed,
    the callback restores the previous setting of the model. Validation uses teacher forcing, so use
    a `SearchEvaluation` to measure the effect.

    Args:
        schedule: "linear", "exponential", "inverse_sigmoid", or a function that takes the step i
            and returns p_i. Defaults to "inverse_sigmoid".
        scale: Number of at least 1. The k of the equations, in steps. With "inverse_sigmoid", ε_i
            falls to about one half after k·ln(k) steps. Defaults to 1000.
        maximum: Maximum of p_i, from 0 to 1. Defaults to 1.
        choice: "argmax" for the most probable token, or "sample" for a token drawn from the
            softmax. Defaults to "argmax".
        seed: Seed of the random numbers. Defaults to a seed that `keras.utils.set_random_seed`
            determines.

    Raises:
        TypeError: If the model is not a `Seq2Seq`.
        ValueError: If an argument is out of range.

    Example:
        >>> schedule = ScheduledSampling("linear", scale=1000, maximum=0.25)
        >>> [schedule.probability(step) for step in (0, 100, 1000)]
        [0.0, 0.1, 0.25]

    References:
        - [Scheduled sampling for sequence prediction with recurrent neural networks (Bengio et
          al., 2015)](https://arxiv.org/abs/1506.03099)
    """

    def __init__(
        self,
        schedule: str | Callable[[int], float] = "inverse_sigmoid",
        *,
        scale: float = 1000.0,
        maximum: float = 1.0,
        choice: str = "argmax",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.schedule = (
            schedule if callable(schedule) else check_choice("schedule", schedule, _SCHEDULES)
        )
        self.scale = check_number("scale", scale, minimum=1.0)
        self.maximum = check_number("maximum", maximum, minimum=0.0, maximum=1.0)
        self.choice = check_choice("choice", choice, CHOICES)
        self.seed = seed
        self._before: tuple[Any, ...] = ()  # the setting before `fit`, while `fit` runs

    def probability(self, step: int) -> float:
        """Compute the probability p_i.

        Args:
            step: Number i of optimizer steps taken before this one.

        Returns:
            The probability of feeding the model's own output.
        """
        if callable(self.schedule):
            value = self.schedule(step)
        else:
            value = 1.0 - _SCHEDULES[self.schedule](step, self.scale)
        return min(self.maximum, round(value, 12))

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not hasattr(self.model, "feed_own_outputs"):
            raise TypeError(
                f"`ScheduledSampling` requires a `Seq2Seq`. Received: {short_repr(self.model)}"
            )
        self._before = (self.model.own_outputs,)
        self.model.own_outputs = None  # so that the previous setting keeps its probability and seed
        self.model.feed_own_outputs(0.0, choice=self.choice, seed=self.seed)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.model.feed_own_outputs(self.probability(self._step()), choice=self.choice)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            logs["sampling_probability"] = self.model.sampling_probability

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.end_fit()

    def end_fit(self) -> None:
        """Restore the model's setting from before `fit`, even if `fit` failed."""
        if self._before:
            (self.model.own_outputs,) = self._before
        self._before = ()

    def _step(self) -> int:
        return int(self.model.optimizer.iterations.numpy())
