"""One step of a search: the step of the decoder and the rules, for all hypotheses at once.

`SearchStep` takes the last token and the state of each hypothesis, and returns `NextTokens`: the
distribution of the next token. `NextTokens.best` finds the most probable tokens by `top_k`, which
is several times faster over a large vocabulary than `tf.math.top_k`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import tensorflow as tf

from keras_s2s.checks import short_repr
from keras_s2s.errors import InputError
from keras_s2s.special_ids import BOS_ID, EOS_ID, IMPOSSIBLE, PAD_ID

State = Any
"""Any nest of tensors whose first dimension is the number of hypotheses."""

StepFunction = Callable[[tf.Tensor, State], tuple[tf.Tensor, ...]]
"""`step(token_ids (n,), state) -> (logits (n, vocabulary), state)`. A decoder with attention may
return its weights `(n, source_length)` as a third output. A step function may have a method
`for_rows(rows)`, which returns the step function for hypotheses of some rows of the batch, and an
attribute `row_bytes`, the number of bytes that this method copies for each row."""

NEVER_EMITTED = (PAD_ID, BOS_ID)

# With up to this many forbidden ids, the top-k finds as many more tokens, and forbidden ones are
# masked afterwards. With more forbidden ids, all logits are masked before the top-k.
_MAX_SKIPPED = 16

# Number of columns in a chunk. Computing the maxima of all chunks is one fast, vectorized pass. The
# slow selection then sees only k chunks. With fewer than MIN_COLUMNS columns, the additional
# operations take more time than they save.
CHUNK = 32
MIN_COLUMNS = 1024


class HypothesisState(NamedTuple):
    """State of each hypothesis, which is reordered with the hypotheses."""

    decoder: State  # nest of (n, ...)
    rules: tuple[State, ...]  # one nest of (n, ...) for each rule
    coverage: tf.Tensor | tuple[()]  # (n, source_length): sum of attention, () if not tracked


class Rule(Protocol):
    """Rule that restricts the next token: a step function with its own state."""

    def initial_state(self, batch_size: int | tf.Tensor) -> State:
        """Return the state before bos: a nest of tensors `(batch_size, ...)`."""

    def __call__(self, last_ids: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        """Return the mask of allowed next tokens, bool `(n, vocabulary)`, and the new state."""


class Candidates(NamedTuple):
    """Candidates for the next token of each hypothesis, most probable first, then by id.

    If the logits of a hypothesis contain NaN or +inf, or are all -inf, it has no distribution, and
    all its log probabilities are NaN.
    """

    log_probs: tf.Tensor  # (n, count) float32; IMPOSSIBLE where the id may not be emitted
    ids: tf.Tensor  # (n, count) int32

    def forbid_eos(self, too_short: tf.Tensor) -> Candidates:
        """Mask eos where `too_short` is true, which broadcasts with the ids."""
        forbidden = tf.logical_and(tf.equal(self.ids, EOS_ID), too_short)
        # Adding keeps NaN.
        log_probs = tf.where(forbidden, self.log_probs + IMPOSSIBLE, self.log_probs)
        return self._replace(log_probs=log_probs)


class NextTokens(NamedTuple):
    """Distribution of the next token of each hypothesis, under the rules."""

    logits: tf.Tensor  # (n, vocabulary)
    allowed: tf.Tensor | None = None  # (n, vocabulary) bool; None: all
    suppress_ids: Iterable[int] = ()  # never emitted, besides pad and bos

    def best(self, count: int) -> Candidates:
        """Find the `count` most probable tokens of each hypothesis.

        The softmax is over the whole vocabulary, including pad and bos, which are never emitted.
        Only the log probabilities of the tokens found are computed.

        Args:
            count: Number of tokens to find, not counting forbidden ones.

        Returns:
            At least `count` tokens that may be emitted, or all if there are fewer. Forbidden tokens
            among them have the log probability IMPOSSIBLE.
        """
        vocabulary_size = self.logits.shape[-1]
        forbidden = {*NEVER_EMITTED, *self.suppress_ids}
        if self.allowed is not None or len(forbidden) > _MAX_SKIPPED:
            return Candidates(*top_k(self.log_probs(), min(count, vocabulary_size)))
        logits = tf.cast(self.logits, tf.float32)
        values, ids = top_k(logits, min(count + len(forbidden), vocabulary_size))
        # Mask forbidden tokens by looking them up in one table.
        emission = np.zeros(vocabulary_size, np.float32)
        emission[list(forbidden)] = IMPOSSIBLE
        log_probs = normalize(values, logits, values[:, :1]) + tf.gather(emission, ids)
        return Candidates(log_probs, ids)

    def log_probs(self) -> tf.Tensor:
        """Compute the log probability of every token: `(n, vocabulary)`, NaN as in `Candidates`."""
        emitted = np.ones(self.logits.shape[-1], bool)
        emitted[[*NEVER_EMITTED, *self.suppress_ids]] = False
        allowed = tf.constant(emitted)
        if self.allowed is not None:
            allowed = tf.logical_and(self.allowed, allowed)
        log_probs = log_softmax(tf.cast(self.logits, tf.float32))
        # Keep NaN in spite of the mask, so that a search detects a diverged model.
        diverged = tf.math.is_nan(log_probs[:, :1])
        return tf.where(tf.logical_or(allowed, diverged), log_probs, IMPOSSIBLE)


class SearchStep:
    """Step of a decoder, followed by the rules of a search.

    Args:
        step: Step function of the decoder.
        vocabulary_size: Number of ids.
        suppress_ids: Ids that are never emitted.
        rules: Rules that the output must obey.
        tracks_coverage: Whether to sum the attention, for a coverage penalty.
    """

    def __init__(
        self,
        step: StepFunction,
        vocabulary_size: int,
        *,
        suppress_ids: tuple[int, ...] = (),
        rules: Sequence[Rule] = (),
        tracks_coverage: bool = False,
    ) -> None:
        self.step = step
        self.vocabulary_size = vocabulary_size
        self.suppress_ids = suppress_ids
        self.rules = rules
        self.tracks_coverage = tracks_coverage

    @property
    def selects_rows(self) -> bool:
        """Boolean, whether there is a step for some rows of the batch."""
        return hasattr(self.step, "for_rows")

    @property
    def row_bytes(self) -> float | tf.Tensor:
        """Number of bytes that `for_rows` copies for each row, 0 if unknown."""
        return getattr(self.step, "row_bytes", 0.0)

    def for_rows(self, rows: tf.Tensor) -> SearchStep:
        """Return the step for hypotheses of some rows of the batch, int32 `(some,)`."""
        step = copy.copy(self)
        step.step = cast("Any", self.step).for_rows(rows)
        return step

    def initial_state(self, decoder_state: State, batch_size: int | tf.Tensor) -> HypothesisState:
        """Return the state of one hypothesis per row, before bos."""
        coverage: tf.Tensor | tuple[()] = ()
        if self.tracks_coverage:
            width = attention_width(self.step, decoder_state, batch_size, self.vocabulary_size)
            coverage = tf.zeros([batch_size, width])
        rule_states = tuple(rule.initial_state(batch_size) for rule in self.rules)
        return HypothesisState(decoder_state, rule_states, coverage)

    def __call__(
        self, last_ids: tf.Tensor, state: HypothesisState
    ) -> tuple[NextTokens, HypothesisState]:
        """Process the last tokens `(n,)`, and return the next tokens and the new state."""
        output = call_step(self.step, last_ids, state.decoder, self.vocabulary_size)
        allowed = None
        rule_states = []
        for rule, rule_state in zip(self.rules, state.rules, strict=True):
            also_allowed, new_state = rule(last_ids, rule_state)
            rule_states.append(new_state)
            allowed = also_allowed if allowed is None else tf.logical_and(allowed, also_allowed)
        coverage = state.coverage
        if self.tracks_coverage:
            # A row that is done reads pad, which does not count as coverage.
            grows = tf.not_equal(tf.expand_dims(last_ids, 1), PAD_ID)
            coverage = coverage + tf.where(grows, output.attention, 0.0)
        next_tokens = NextTokens(output.logits, allowed, self.suppress_ids)
        return next_tokens, HypothesisState(output.state, tuple(rule_states), coverage)


def log_softmax(logits: tf.Tensor) -> tf.Tensor:
    """Compute the log probabilities of all logits `(..., vocabulary)`."""
    return normalize(logits, logits, tf.reduce_max(logits, axis=-1, keepdims=True))


def normalize(values: tf.Tensor, logits: tf.Tensor, largest: tf.Tensor) -> tf.Tensor:
    """Compute the log probabilities of some of the logits.

    The largest logit is subtracted first, so that rounding depends on the differences between the
    logits and not on a common offset. The result is NaN if the logits contain NaN or +inf, or are
    all -inf.

    Args:
        values: float32 `(..., count)`, some of the logits.
        logits: float32 `(..., vocabulary)`.
        largest: float32 `(..., 1)`, the largest of `logits`.

    Returns:
        float32 `(..., count)`.
    """
    differences = logits - largest  # at most 0; NaN without a distribution
    total = tf.reduce_sum(tf.exp(differences), axis=-1, keepdims=True)
    log_total = keep_nan(tf.math.log(total), differences)
    return (values - largest) - log_total


def keep_nan(results: tf.Tensor, operands: tf.Tensor) -> tf.Tensor:
    """Return results, or NaN where any of their operands is NaN, which LiteRT's `exp` loses.

    Args:
        results: float32 `(..., 1)`, or `(..., count)`.
        operands: float32 `(..., any)`, without +inf.

    Returns:
        The results, or NaN.
    """
    # Only NaN makes a sum NaN.
    diverged = tf.math.is_nan(tf.reduce_sum(operands, axis=-1, keepdims=True))
    return tf.where(diverged, float("nan"), results)


def top_k(values: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Find the `k` largest values of each row. Of equal values, the lower column comes first.

    The k largest values are in the k chunks with the largest maxima: a value in any other chunk is
    less than or equal to each of these k maxima.

    Args:
        values: float32 `(n, columns)`, with a known number of columns.
        k: Number of values, at most the number of columns.

    Returns:
        The values `(n, k)`, in descending order, and their columns, int32 `(n, k)`.
    """
    columns = values.shape[1]
    if k == columns:  # then TensorFlow sorts all values, which fails with NaN
        values = tf.where(tf.math.is_nan(values), tf.float32.min, values)
    if columns < MIN_COLUMNS or columns < 4 * k * CHUNK:
        return tf.math.top_k(values, k)
    num_chunks, rest = divmod(columns, CHUNK)
    whole = values[:, : num_chunks * CHUNK] if rest else values
    chunks = tf.reshape(whole, [-1, num_chunks, CHUNK])
    chosen = tf.math.top_k(tf.reduce_max(chunks, axis=2), k).indices
    # Sort in ascending order, so that the lower of equal columns still comes first.
    chosen = -tf.math.top_k(-chosen, k).values
    seen = tf.reshape(tf.gather(chunks, chosen, batch_dims=1), [-1, k * CHUNK])
    if rest:  # the columns after the last whole chunk are always candidates
        seen = tf.concat([seen, values[:, num_chunks * CHUNK :]], axis=1)
        chosen = tf.pad(chosen, [[0, 0], [0, 1]], constant_values=num_chunks)
    largest, positions = tf.math.top_k(seen, k)
    starts = tf.gather(chosen, positions // CHUNK, batch_dims=1) * CHUNK
    return largest, starts + positions % CHUNK


class StepOutput(NamedTuple):
    """Output of a step function."""

    logits: tf.Tensor  # (n, vocabulary)
    state: State  # nest of (n, ...)
    attention: tf.Tensor | None  # (n, source_length) float32


def call_step(
    step: StepFunction, token_ids: tf.Tensor, state: State, vocabulary_size: int
) -> StepOutput:
    """Call a step function and check its output.

    Args:
        step: Step function.
        token_ids: int32 `(n,)`, the last token of each hypothesis.
        state: Nest of tensors `(n, ...)`.
        vocabulary_size: Required last dimension of the logits.

    Returns:
        The logits `(n, vocabulary_size)`, the new state, which has the structure of the old one,
        and the attention, if `step` returns it.

    Raises:
        ValueError: If `step` returns a wrong structure or shape.
    """
    outputs = step(token_ids, state)
    if not isinstance(outputs, tuple) or len(outputs) not in (2, 3):
        raise InputError(
            "`step` must return a tuple (logits, state) or (logits, state, attention). "
            f"Received: {_describe(outputs)}"
        )
    logits, new_state, *attention = outputs
    new_state = () if new_state is None else new_state
    logits = tf.convert_to_tensor(logits)
    expected = tf.TensorShape([token_ids.shape[0], vocabulary_size])
    if not logits.dtype.is_floating or not logits.shape.is_compatible_with(expected):
        raise InputError(
            f"`step` must return float logits of shape (n, {vocabulary_size}), one row for each of "
            f"the n tokens. Received: {logits.dtype.name} of shape {logits.shape} for n="
            f"{token_ids.shape[0]}"
        )
    logits.set_shape(expected)
    try:
        tf.nest.assert_same_structure(state, new_state)
    except (ValueError, TypeError) as error:
        raise InputError(
            "`step` must return a state with the same structure as its input state. Received: "
            f"{error}"
        ) from error
    new_state = tf.nest.map_structure(_with_static_shape, state, new_state)
    return StepOutput(logits, new_state, tf.cast(attention[0], tf.float32) if attention else None)


def attention_width(
    step: StepFunction, state: State, batch_size: int | tf.Tensor, vocabulary_size: int
) -> tf.Tensor:
    """Call `step` once and return the number of source positions that it attends to."""
    first = call_step(step, tf.fill([batch_size], BOS_ID), state, vocabulary_size)
    if first.attention is None:
        raise InputError(
            "`step` must return a tuple (logits, state, attention) for a search that requires "
            "attention. Received: a tuple of 2"
        )
    return tf.shape(first.attention)[1]


def check_state(state: State, batch_size: int | tf.Tensor) -> State:
    """Convert `state` to tensors of `batch_size` rows each. `None` is an empty state.

    Raises:
        ValueError: If a tensor does not have `batch_size` rows.
    """
    if state is None:
        state = ()
    rows = tf.get_static_value(batch_size)

    def check(tensor: Any) -> tf.Tensor:
        try:
            tensor = tf.convert_to_tensor(tensor)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"`state` must be a nest of tensors. Received: {short_repr(tensor)} in the state"
            ) from error
        shape = tensor.shape
        if shape.rank == 0 or (rows is not None and not shape[:1].is_compatible_with([rows])):
            raise InputError(
                "Every tensor in `state` must have one row for each row of the batch: a first "
                f"dimension of {rows}. Received: {tensor.dtype.name} of shape {shape}"
            )
        return tensor

    return tf.nest.map_structure(check, state)


def repeat_state(state: State, batch_size: int | tf.Tensor, times: int) -> State:
    """Repeat each row of each tensor `(batch, ...)`: `(batch * times, ...)`, copies adjacent."""
    if times == 1:
        return state
    return gather_state(state, tf.range(batch_size * times) // times)


def gather_state(state: State, indices: tf.Tensor) -> State:
    """Reorder the hypotheses of every tensor `(n, ...)` by `indices` `(m,)`."""
    return tf.nest.map_structure(lambda tensor: tf.gather(tensor, indices), state)


def row_bytes(state: State, batch_size: int | tf.Tensor) -> tf.Tensor:
    """Return the number of bytes of each row of a nest of tensors `(batch, ...)`, () float32."""
    tensors = [tensor for tensor in tf.nest.flatten(state) if tensor is not None]
    rows = tf.cast(tf.maximum(batch_size, 1), tf.float32)
    sizes = [tf.cast(tf.size(it), tf.float32) * float(it.dtype.size) for it in tensors]
    return tf.add_n([tf.zeros([]), *sizes]) / rows


def loop_shapes(loop_state: Any) -> Any:
    """Return the shapes that stay the same in a loop: all dimensions but the first are fixed."""

    def shape(tensor: tf.Tensor) -> tf.TensorShape:
        return tensor.shape if tensor.shape.rank == 0 else tf.TensorShape([None]) + tensor.shape[1:]

    return tf.nest.map_structure(shape, loop_state)


def _with_static_shape(old: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
    """Set the static shape of `new` to that of `old`, because some step functions lose it."""
    new = tf.convert_to_tensor(new)
    if old.shape.rank is None:
        return new
    if new.shape.is_compatible_with(old.shape):
        new.set_shape(old.shape)
    elif not tf.executing_eagerly():  # the loop of a graph needs fixed shapes
        raise InputError(
            "`step` must return a state with the same shapes as its input state. Received: "
            f"{new.shape} instead of {old.shape}. Pad a state that grows, such as the keys and "
            "values of a Transformer, to the maximum length"
        )
    return new


def _describe(outputs: Any) -> str:
    """Describe the output of a step function for an error message."""
    if isinstance(outputs, tuple):
        return f"a tuple of {len(outputs)}"
    return f"an object of type {type(outputs).__name__}"
