"""What a search is asked for, checked and in tensors."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from keras_s2s.search.limits import Limits
from keras_s2s.search.search_step import Carried, SearchStep
from keras_s2s.search.step_function import repeat_state


class SearchTask(NamedTuple):
    """A batch of rows to be searched."""

    step: SearchStep
    carried: Carried  # before bos, one hypothesis per row
    batch_size: int | tf.Tensor
    limits: Limits
    source_lengths: tf.Tensor | None  # (batch, 1) int32
    seed: tf.Tensor | None  # (batch, 1) int32

    def repeat(self, times: int) -> SearchTask:
        """Search every row so many times: `(batch * times)` rows, those of row 0 first."""
        if times == 1:
            return self

        def repeat(rows: Any) -> Any:
            return None if rows is None else repeat_state(rows, self.batch_size, times)

        limits = self.limits
        penalty = limits.length_penalty
        return SearchTask(
            step=self.step,
            carried=repeat(self.carried),
            batch_size=self.batch_size * times,
            limits=Limits(
                max_length=repeat(limits.max_length),
                longest=limits.longest,
                min_length=repeat(limits.min_length),
                length_penalty=penalty if isinstance(penalty, float) else repeat(penalty),
            ),
            source_lengths=repeat(self.source_lengths),
            seed=repeat(self.seed),
        )
