"""Diverse beam search: groups of hypotheses that avoid each other's tokens."""

from __future__ import annotations

import dataclasses

import keras
import tensorflow as tf

from keras_s2s import checks
from keras_s2s.errors import InputError
from keras_s2s.search.beam import BeamSearch, BeamState, Continuations, first_unfinished
from keras_s2s.search.result import SearchResult, mask_duplicates, rank_hypotheses
from keras_s2s.search.step import NextTokens
from keras_s2s.search.task import SearchTask
from keras_s2s.search_limits import MAX_HYPOTHESES
from keras_s2s.special_ids import EOS_ID, PAD_ID

# Up to this value, every possible token ranks above the impossible ones.
MAX_DIVERSITY_PENALTY = 1000.0


@keras.saving.register_keras_serializable(package="keras_s2s")
@dataclasses.dataclass(frozen=True, kw_only=True)
class DiverseBeamSearch(BeamSearch):
    """Diverse beam search: each group avoids the tokens that earlier groups chose.

    Every group is a beam search of `beam_width / num_groups` hypotheses. At each step the groups
    are extended in turn. For ranking, the log probability of a continuation is reduced by
    `diversity_penalty` for each hypothesis of an earlier group that continues with the same token
    in this step. The penalty affects the ranking only: log_probs and scores are those of the
    model. The result contains the best hypotheses of all groups, without duplicates.

    Args:
        beam_width: Number of hypotheses kept per row, in all groups together. Defaults to 6.
        num_groups: Number of groups. Must divide `beam_width`. Defaults to 3.
        diversity_penalty: Number from 0 to 1000, in nats. With 0, all groups are the same. Defaults
            to 0.5.
        num_hypotheses: Number of hypotheses returned per row, at most `beam_width`. Defaults to 1.
        stopping: When a group is done, as in `BeamSearch`. A row is done when all its groups are.
        coverage_penalty: See `BeamSearch`.
        **settings: `max_length`, `max_length_ratio`, `min_length`, `length_penalty`,
            `length_penalty_formula`, `suppress_ids`, `no_repeat_ngram_size` and `lexicon`:
            see `Search`.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> import tensorflow as tf
        >>> search = DiverseBeamSearch(
        ...     beam_width=2, num_groups=2, num_hypotheses=2, diversity_penalty=5.0, max_length=1)
        >>> def step(token_ids, state):  # id 4 is the most probable, then id 5
        ...     logits = tf.constant([[-9.0, -9.0, -9.0, -9.0, 2.0, 1.0]])
        ...     return tf.repeat(logits, tf.size(token_ids), axis=0), state
        >>> search(step, state=(), batch_size=1, vocabulary_size=6).ids.numpy()
        array([[[4],
                [5]]], dtype=int32)

    References:
        - [Diverse beam search (Vijayakumar et al., 2016)](https://arxiv.org/abs/1610.02424), with
          Hamming diversity
    """

    beam_width: int = 6
    num_groups: int = 3
    diversity_penalty: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self._keep_count("num_groups", MAX_HYPOTHESES)
        if self.beam_width % self.num_groups:
            raise InputError(
                "`num_groups` must divide `beam_width`. Received: "
                f"num_groups={self.num_groups}, beam_width={self.beam_width}"
            )
        penalty = checks.check_number(
            "diversity_penalty", self.diversity_penalty, minimum=0.0, maximum=MAX_DIVERSITY_PENALTY
        )
        self._keep("diversity_penalty", penalty)

    @property
    def _width(self) -> int:
        return self.beam_width // self.num_groups

    @property
    def _num_returned(self) -> int:
        return self._width

    def _search(self, task: SearchTask) -> SearchResult:
        # Search every group as a separate row: (batch * groups, ...).
        found = super()._search(task.repeat(self.num_groups))
        ids = tf.reshape(found.ids, [-1, self.beam_width, tf.shape(found.ids)[2]])
        log_probs = mask_duplicates(ids, tf.reshape(found.log_probs, [-1, self.beam_width]))
        scores = tf.reshape(found.scores, [-1, self.beam_width])
        return rank_hypotheses(ids, log_probs, scores, self.num_hypotheses)

    def _best_continuations(
        self, next_tokens: NextTokens, state: BeamState, task: SearchTask, length: tf.Tensor
    ) -> Continuations:
        """Rank the continuations of each group after earlier groups have chosen theirs."""
        width, groups = self._width, self.num_groups
        # The penalty can move this many candidates of each hypothesis down in the ranking.
        chosen_earlier = (groups - 1) * width
        candidates = next_tokens.best(width + 1 + chosen_earlier)
        candidates, diverged = self._join_hypotheses(candidates, state, task, length)
        count = candidates.ids.shape[1]  # of one group
        ids = tf.reshape(candidates.ids, [-1, groups, count])
        log_probs = tf.reshape(candidates.log_probs, [-1, groups, count])
        active = tf.reshape(state.active, [-1, groups, 1])
        chosen = tf.zeros([tf.shape(ids)[0], 0], tf.int32)
        positions = []
        for group in range(groups):
            times_chosen = _count_equal(ids[:, group], chosen)
            ranking = log_probs[:, group] - self.diversity_penalty * times_chosen
            _, best = tf.math.top_k(ranking, 2 * width)
            best_ids = tf.gather(ids[:, group], best, batch_dims=1)
            live = first_unfinished(tf.equal(best_ids, EOS_ID), width)
            live_ids = tf.gather(best_ids, live, batch_dims=1)
            chosen = tf.concat([chosen, tf.where(active[:, group], live_ids, PAD_ID)], axis=1)
            positions.append(best)
        positions = tf.reshape(tf.stack(positions, axis=1), [-1, 2 * width])
        return Continuations(
            log_probs=tf.gather(candidates.log_probs, positions, batch_dims=1),
            ids=tf.gather(candidates.ids, positions, batch_dims=1),
            parents=positions // (count // width),
            diverged=diverged,
        )


def _count_equal(ids: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """Count the occurrences of each of `ids` `(batch, count)` in `others` `(batch, any)`."""
    equal = tf.equal(tf.expand_dims(ids, 2), tf.expand_dims(others, 1))
    return tf.reduce_sum(tf.cast(equal, tf.float32), axis=2)
