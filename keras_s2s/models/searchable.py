"""Base class of models that can be searched, and their compiled graphs."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_s2s.checks import check_choice, count_of, short_repr
from keras_s2s.convergence import check_converged
from keras_s2s.errors import InputError
from keras_s2s.files import written_beside
from keras_s2s.graphs import CompiledCalls, GraphState
from keras_s2s.layers.products import fast_products, has_bfloat16
from keras_s2s.models.ids import check_ids, until_eos
from keras_s2s.models.xla import (
    COMPILE_ERRORS,
    choose_jit_compile,
    crop,
    disable_xla,
    pad_to_buckets,
)
from keras_s2s.search import Sampling, Search, SearchResult
from keras_s2s.search.result import replay_attention
from keras_s2s.search.step import State, StepFunction, normalize
from keras_s2s.search.task import check_padding, check_row_options, check_target_ids
from keras_s2s.special_ids import PAD_ID

# With this many rows, transposing the matrices of a search takes less time than it saves. With more
# rows, oneDNN multiplies untransposed matrices as fast.
MANY_ROWS = range(32, 320)

WEIGHTS_DTYPES = ("float32", "bfloat16", "auto")


class SearchStart(NamedTuple):
    """Step function and initial state of a search for a batch of sources."""

    step: StepFunction
    state: State  # nest of (batch, ...)
    source_lengths: tf.Tensor  # (batch,) int32, including eos
    # ids (batch, num_hypotheses, length) -> attention; None: use the attention of the steps
    align: Callable[[tf.Tensor], tf.Tensor] | None = None


class Searchable(keras.Model):
    """Base class of models of log P(y | x) that can be searched and can score given targets.

    A subclass defines the start of a search (`begin_search`), the logits of given targets
    (`target_logits`), and the trained models that it consists of (`members`).
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._compiled_calls = CompiledCalls()

    def save(
        self,
        filepath: str | os.PathLike[str],
        overwrite: bool = True,
        zipped: bool | None = None,
        **kwargs: Any,
    ) -> None:
        """Save the model, like `keras.Model.save`.

        A `.keras` file is written under a temporary name and then renamed. If saving is
        interrupted, an existing file remains unchanged.

        Args:
            filepath: Destination path.
            overwrite: Whether to replace an existing file. Otherwise, Keras asks. Defaults to
                `True`.
            zipped: Whether to save one file, not a folder. Defaults to `None`, one file.
            **kwargs: Other arguments of `keras.Model.save`.
        """
        path = os.fspath(filepath)
        remote = "://" in path  # such as a bucket, to which only Keras can write
        if remote or not path.endswith(".keras") or (os.path.exists(path) and not overwrite):
            super().save(path, overwrite=overwrite, zipped=zipped, **kwargs)
            return
        with written_beside(path, suffix=".keras") as unfinished:
            super().save(unfinished, zipped=zipped, **kwargs)

    def export(self, *args: Any, **kwargs: Any) -> None:
        """Raise an error that explains how to export a model with its search.

        Keras would export `call`, which teacher-forces the target and does not search.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            f"A {type(self).__name__} has neither vocabularies nor a search to export: use "
            "`Translator(model, source, target).export(path)`."
        )

    def search(
        self,
        source_ids: Any,
        search: Search,
        *,
        max_length: Any = None,
        min_length: Any = None,
        length_penalty: Any = None,
        prefix: Any = None,
        seed: Any = None,
        return_attention: bool = False,
        weights_dtype: str = "float32",
        jit_compile: bool | str = "auto",
    ) -> SearchResult:
        """Search for the best targets of each source, in one compiled graph.

        The optional arguments override the settings of the search, for all rows or for each row, so
        that requests with different settings can share a batch. Outside a graph, ids and arguments
        are checked. Inside a graph, arguments out of range are clipped.

        Args:
            source_ids: int32 `(batch, source_length)`. Each row ends in eos; ids after it are
                discarded.
            search: A `GreedySearch`, `BeamSearch`, or another search.
            max_length: int32 `(batch,)` or a number, at least 1. Maximum number of tokens,
                including eos.
            min_length: int32 `(batch,)` or a number, at least 0. Minimum number of tokens, not
                above `max_length`. Inside a graph, and for sources that `max_length_ratio` limits,
                a minimum above the maximum counts as the maximum.
            length_penalty: float32 `(batch,)` or a number, at least 0. The exponent α.
            prefix: int32 `(batch, prefix_length)`. Target ids with which the outputs of each row
                begin, without bos and up to the first pad or eos: the rows that `tokenize` returns
                are prefixes. A row of pads has no prefix.
            seed: int32 `(batch,)` or a number, for `Sampling`. The outputs of a row depend only on
                the row and its seed, not on the rest of the batch.
            return_attention: Whether to return the attention weights. Defaults to `False`.
            weights_dtype: Precision of the decoder's products, "float32", "bfloat16" or "auto".
                With "bfloat16", a search is faster on processors with instructions for it, slower
                on others, and about one output in a hundred changes. "auto" selects bfloat16 if the
                processor has the instructions, and float32 otherwise and inside a graph. States
                and scores stay float32. Defaults to "float32".
            jit_compile: Whether XLA compiles the search, `True`, `False` or "auto". XLA takes some
                seconds to compile a search, for each new shape of `source_ids`. "auto" compiles a
                beam, greedy or sampling search that runs on a GPU, where XLA makes it 10 to 18
                times faster. "auto" pads the number of rows and the source length to powers of two,
                the length to at least 16. Batches of up to 64 sources of up to 1,000 tokens
                therefore need at most 49 compilations. "auto" does not compile on a CPU, inside a
                graph, or a search whose `max_length` is `None` or an argument. If XLA cannot
                compile a search, for example without libdevice, "auto" warns and does not compile
                any more. On one thread of a CPU, a search with `True` took 40% to 70% as long as
                without XLA for one source, and 90% to 150% as long for 8 to 128. An export contains
                no XLA. Defaults to "auto".

        Returns:
            A `SearchResult`: ids int32 `(batch, num_hypotheses, target_length)`, truncated to the
            longest; lengths, log_probs, scores and finished `(batch, num_hypotheses)`; and, if
            requested, attention float32 `(batch, num_hypotheses, target_length, source_length)`,
            the weights of the source positions for each token, 0 after the last token.

        Raises:
            TypeError: If `search` is not a search, or ids, lengths or seeds are not integers.
            ValueError: If an id is outside the vocabulary, or an argument has the wrong shape or is
                out of range. If a seed is given to a search without randomness. If the model has no
                attention and `return_attention` or a coverage penalty needs it. If XLA is requested
                inside a graph, for an `ExactSearch` or without `max_length`. Outside a graph, if
                the model has diverged (its logits are NaN, infinite or all -inf).
                Inside a graph, the scores of such a row are NaN, and it has no tokens.
        """
        _check_search(search)
        weights_dtype = _resolve_weights_dtype(weights_dtype)
        if return_attention or search.needs_attention:
            self.check_attention("return_attention" if return_attention else "coverage_penalty")
        source_ids = check_ids("source_ids", source_ids, self.source_vocabulary_size, check_padding)
        if isinstance(search, Sampling) and seed is None:
            # As an argument of the graph, another seed needs no other graph.
            search, seed = dataclasses.replace(search, seed=0), search.seed
        options = check_row_options(
            {
                "max_length": max_length,
                "min_length": min_length,
                "length_penalty": length_penalty,
                "prefix": prefix,
                "seed": seed,
            },
            tf.shape(source_ids)[0],
            self.target_vocabulary_size,
            min_length=search.min_length,
            max_length=search.max_length,
        )
        rows, length = source_ids.shape
        xla = choose_jit_compile(jit_compile, search, options) and rows != 0  # XLA fails on no rows
        if jit_compile == "auto" and xla:
            source_ids, options = pad_to_buckets(source_ids, options)
        arguments = (search, return_attention, weights_dtype, xla)
        found = self._run_search(
            (*arguments, *options),
            functools.partial(self._search, *arguments),
            source_ids,
            options,
            xla=xla,
            required=jit_compile != "auto",
            many_rows=_has_many_rows(source_ids, search),
        )
        found = crop(found, rows, length).trim() if xla else found
        if tf.executing_eagerly():
            check_converged(found.scores)
        return found

    def log_prob(self, source_ids: Any, target_ids: Any) -> tf.Tensor:
        """Compute log P(y | x) = Σ_t log P(y_t | y_<t, c) of given targets, by teacher forcing.

        Args:
            source_ids: int32 `(batch, source_length)`. Each row ends in eos; ids after it are
                discarded.
            target_ids: int32 `(batch, target_length)`, without bos, padded on the right with 0. The
                log probability includes the first eos; ids after it are discarded.

        Returns:
            float32 `(batch,)`, in nats.

        Raises:
            TypeError: If the ids are not integers.
            ValueError: If the ids do not have rank 2, or the numbers of sources and targets differ.
                Outside a graph, if an id is outside the vocabulary, a target contains bos or
                padding before a token, or the model has diverged (its logits are NaN, infinite or
                all -inf). Inside a graph, a row of a diverged model is NaN.
        """
        source_ids = check_ids("source_ids", source_ids, self.source_vocabulary_size, check_padding)
        target_ids = check_ids(
            "target_ids", target_ids, self.target_vocabulary_size, check_target_ids
        )
        rows = source_ids.shape[0], target_ids.shape[0]
        if None not in rows and rows[0] != rows[1]:
            raise InputError(
                "`source_ids` and `target_ids` must have the same number of rows. Received: "
                f"{count_of(rows[0], 'source')} and {count_of(rows[1], 'target')}"
            )
        found = self._run("log_prob", self._log_prob, source_ids, target_ids)
        if tf.executing_eagerly():
            check_converged(tf.expand_dims(found, 1))
        return found

    @property
    def source_vocabulary_size(self) -> int:
        """Number of source ids."""
        return int(self.members()[0].encoder.vocabulary_size)

    @property
    def target_vocabulary_size(self) -> int:
        """Number of target ids."""
        return int(self.members()[0].decoder.vocabulary_size)

    @property
    def has_attention(self) -> bool:
        """True if the model has attention."""
        return any(member.decoder.attention for member in self.members())

    def check_attention(self, name: str) -> None:
        """Check that the model has attention.

        Args:
            name: Name of the argument that needs attention, for the error message.

        Raises:
            ValueError: If the model has no attention.
        """
        if not self.has_attention:
            raise InputError(
                f"`{name}` needs a decoder with attention, such as 'luong'. "
                "Received: a model with attention=None"
            )

    def members(self) -> tuple[keras.Model, ...]:
        """Return the trained models that this model consists of."""
        raise NotImplementedError(f"{type(self).__name__} must define `members`.")

    def begin_search(
        self, source_ids: tf.Tensor, *, return_attention: bool, weights_dtype: str = "float32"
    ) -> SearchStart:
        """Encode the sources and return the `SearchStart` of a search for their targets.

        Args:
            source_ids: int32 `(batch, source_length)`, checked.
            return_attention: Whether the step must return attention.
            weights_dtype: Precision of the decoder's products. Defaults to "float32".

        Returns:
            The `SearchStart`.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `begin_search`.")

    def target_logits(self, source_ids: tf.Tensor, target_ids: tf.Tensor) -> tf.Tensor:
        """Compute the logits that predict given targets.

        Args:
            source_ids: int32 `(batch, source_length)`, checked.
            target_ids: int32 `(batch, target_length)`, checked, without bos.

        Returns:
            float32 `(batch, target_length, target_vocabulary_size)`.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `target_logits`.")

    def _search(
        self,
        search: Search,
        return_attention: bool,
        weights_dtype: str,
        xla: bool,
        source_ids: tf.Tensor,
        options: dict[str, tf.Tensor],
    ) -> SearchResult:
        """Encode the sources and search, in a graph. With XLA, the outputs are not truncated."""
        start = self.begin_search(
            until_eos(source_ids),
            return_attention=return_attention or search.needs_attention,
            weights_dtype=weights_dtype,
        )
        rows, size = tf.shape(source_ids)[0], self.target_vocabulary_size
        found = search(
            start.step, start.state, rows, size, source_lengths=start.source_lengths, **options
        )
        found = found if xla else found.trim()
        if return_attention:
            found = found._replace(attention=_find_attention(start, rows, size, found.ids))
        return found

    def _run_search(
        self, key: Any, *arguments: Any, xla: bool, required: bool, many_rows: bool
    ) -> SearchResult:
        """Run a search. Run it without XLA if XLA fails and is not required."""
        try:
            return self._run(key, *arguments, jit_compile=xla, many_rows=many_rows)
        except COMPILE_ERRORS as error:
            if required or not xla:
                raise
            disable_xla(error)  # without XLA, the padded batch has the same result
            return self._run(key, *arguments, many_rows=many_rows)

    def _run(
        self,
        key: Any,
        function: Callable[..., Any],
        *arguments: Any,
        jit_compile: bool = False,
        many_rows: bool = False,
    ) -> Any:
        """Compile and run a function, or inline it in the graph that is being traced."""
        if not tf.executing_eagerly():
            return tf.autograph.experimental.do_not_convert(function)(*arguments)
        signature = tf.nest.map_structure(_any_size, arguments)
        key = (key, jit_compile, many_rows, *tf.nest.flatten(signature))
        compiled = self._compiled_calls.get(
            key, function, signature, state=GraphState(self), jit_compile=jit_compile
        )
        with fast_products(not jit_compile, many_rows=many_rows):
            return compiled(*arguments)

    def _log_prob(self, source_ids: tf.Tensor, target_ids: tf.Tensor) -> tf.Tensor:
        source_ids, target_ids = until_eos(source_ids), until_eos(target_ids)
        return sum_log_probs(self.target_logits(source_ids, target_ids), target_ids)


def sum_log_probs(logits: tf.Tensor, target_ids: tf.Tensor) -> tf.Tensor:
    """Sum the log probabilities of the real tokens.

    Args:
        logits: float32 `(batch, target_length, vocabulary_size)`.
        target_ids: int32 `(batch, target_length)`, padded with 0.

    Returns:
        float32 `(batch,)`.
    """
    chosen = tf.gather(logits, tf.expand_dims(target_ids, 2), axis=2, batch_dims=2)
    largest = tf.reduce_max(logits, axis=2, keepdims=True)
    log_probs = tf.squeeze(normalize(chosen, logits, largest), 2)
    return tf.reduce_sum(tf.where(tf.equal(target_ids, PAD_ID), 0.0, log_probs), axis=1)


def _check_search(search: Any) -> None:
    """Check that the argument `search` is a `Search`."""
    if not isinstance(search, Search):
        raise TypeError(
            "`search` must be a search, such as `BeamSearch(beam_width=5)`. "
            f"Received: search={short_repr(search)}"
        )


def _resolve_weights_dtype(weights_dtype: str) -> str:
    """Check a precision, and choose one for "auto": bfloat16 if the processor supports it."""
    check_choice("weights_dtype", weights_dtype, WEIGHTS_DTYPES)
    if weights_dtype != "auto":
        return weights_dtype
    # An exported graph may run on another processor.
    return "bfloat16" if has_bfloat16() and tf.executing_eagerly() else "float32"


def _has_many_rows(source_ids: tf.Tensor, search: Search) -> bool:
    """Return whether a search is known to multiply `MANY_ROWS` at each step."""
    rows = source_ids.shape[0]
    return rows is not None and rows * search.hypotheses_per_step in MANY_ROWS


def _find_attention(
    start: SearchStart, rows: tf.Tensor, vocabulary_size: int, ids: tf.Tensor
) -> tf.Tensor:
    """Return the attention of hypotheses: their alignment, or the attention of each step."""
    if start.align is not None:
        return start.align(ids)
    return replay_attention(start.step, start.state, rows, vocabulary_size, ids)


def _any_size(tensor: tf.Tensor) -> tf.TensorSpec:
    """Return the spec of a tensor with unknown sizes, so that a new size causes no retracing."""
    return tf.TensorSpec([None] * tensor.shape.rank, tensor.dtype)
