"""`SearchEvaluation`: evaluation by search during training."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf

from keras_s2s.callbacks.resume import check_every
from keras_s2s.checks import check_choice, check_int, check_positive_int, short_repr
from keras_s2s.data.pairs import check_pairs
from keras_s2s.errors import InputError
from keras_s2s.evaluation import (
    METRICS,
    SPLITS,
    bleu,
    check_metrics,
    chrf,
    error_rates,
    group_references,
    is_right,
    meaningful_metrics,
    unit_of,
)
from keras_s2s.fit_callback import FitCallback
from keras_s2s.models import Searchable
from keras_s2s.search import BeamSearch, Search
from keras_s2s.tokenizers import Tokenizer
from keras_s2s.translator import Translator


class SearchEvaluation(FitCallback):
    """Callback that translates validation sources during training, and logs error rates and scores.

    The callback adds the metrics to the `logs` of each epoch, so that they are in the history, in
    the progress bar, and available to the callbacks listed after this one:

    - "val_wer": share of outputs that equal none of their references (sequence error rate, the
      WER of pronunciation);
    - "val_ter": edits to the nearest reference, per reference token (token error rate, PER);
    - "val_bleu", "val_chrf": BLEU and chrF of sacrebleu, 0 to 100; the attribute `signatures`
      contains their settings.

    `EarlyStopping`, `ReduceLROnPlateau` and `ModelCheckpoint` must be listed **after** this
    callback, with `mode="min"` or `mode="max"`: Keras knows the direction only for the metrics of
    `compile`. To evaluate the averages of a `SwapEMAWeights`, list it before this callback.

    A source that occurs in several pairs has several correct targets. Each evaluation
    translates all sources, so use a subset of the pairs or a `GreedySearch` if it takes too long.

    Args:
        pairs: Validation pairs: source texts and target texts.
        source: Tokenizer of the sources.
        target: Tokenizer of the targets.
        search: The search. Defaults to `BeamSearch()`.
        replace_unknown: Whether to replace unknown tokens in outputs by source tokens, as in
            `Translator`. Defaults to `False`.
        metrics: Metrics to compute, from "wer", "ter", "bleu" and "chrf". Defaults to
            all four if the targets are sentences (at least four words on average, and at least a
            hundred different words), otherwise to "wer" and "ter". Requires the `eval` extra.
        every: "epoch" to evaluate at the end of each epoch, or a number of steps between
            evaluations. The logs of an epoch then contain the latest values. Defaults to "epoch".
        tokens: Unit of the token error rate: "words" or "phones", separated by white space, or
            "characters". Defaults to "characters" if `target` is a `CharTokenizer` or a
            `ByteTokenizer`, otherwise to "words".
        bleu_tokenize: Tokenizer of sacrebleu for BLEU. Use "none" for text that is already split by
            spaces. Defaults to "13a".
        batch_size: Number of texts to search together. Defaults to 64.
        examples: Number of outputs to print with their references after each evaluation, unless
            `fit` is silent (`verbose=0`). Defaults to 3.
        log_dir: Folder to write metrics and examples to for TensorBoard, by optimizer step.
            (Keras's own `TensorBoard` callback writes the logs of each epoch.) Defaults to `None`.

    Attributes:
        figures: Metrics of the last evaluation, by their names in the logs.
        outputs: Texts that the search returned, by their sources.
        signatures: Signatures of sacrebleu, by "bleu" and "chrf".

    Raises:
        TypeError: If an argument has the wrong type, or the model cannot be searched.
        ValueError: If there are no pairs, a source is empty, a vocabulary size does not match the
            model, or an argument is out of range.
        ImportError: If the package for a metric is not installed.

    Example:
        >>> pairs = [("ab", "A B"), ("b", "B")]
        >>> source = CharTokenizer.train(source for source, _ in pairs)
        >>> target = WordTokenizer.train(target for _, target in pairs)
        >>> model = Seq2Seq(LSTMEncoder(source.vocabulary_size, 4),
        ...                 LSTMDecoder(target.vocabulary_size, 4))
        >>> model.compile("adam", loss=SequenceLoss())
        >>> history = model.fit(make_dataset(pairs, source, target), verbose=0, callbacks=[
        ...     SearchEvaluation(pairs, source, target, search=GreedySearch(max_length=4)),
        ...     keras.callbacks.EarlyStopping("val_wer", mode="min", patience=3)])
        >>> sorted(history.history)
        ['loss', 'val_ter', 'val_wer']
    """

    # The attributes that `Resume` saves.
    state_attributes = ("figures",)

    def __init__(
        self,
        pairs: Iterable[tuple[str, str]],
        source: Tokenizer,
        target: Tokenizer,
        *,
        search: Search | None = None,
        replace_unknown: bool = False,
        metrics: Sequence[str] | None = None,
        every: str | int = "epoch",
        tokens: str | None = None,
        bleu_tokenize: str = "13a",
        batch_size: int = 64,
        examples: int = 3,
        log_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__()
        self.references = _references(pairs)
        self.source = source
        self.target = target
        self.search = BeamSearch() if search is None else search
        self.replace_unknown = replace_unknown
        if metrics is None:
            metrics = meaningful_metrics(list(self.references.values()))
        self.metrics = _check_names(metrics)
        check_metrics(self.metrics, bleu_tokenize=bleu_tokenize)
        self.every = check_every(every)
        if tokens is None:
            tokens = unit_of(type(target))
        self.tokens = check_choice("tokens", tokens, SPLITS)
        self.bleu_tokenize = bleu_tokenize
        self.batch_size = check_positive_int("batch_size", batch_size)
        self.examples = check_int("examples", examples, minimum=0)
        self.log_dir = None if log_dir is None else os.fspath(log_dir)
        self.figures: dict[str, float] = {}
        self.outputs: dict[str, str] = {}
        self.signatures: dict[str, str] = {}
        self._translator: Translator | None = None
        self._writer: Any = None
        self._steps = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not isinstance(self.model, Searchable):
            raise TypeError(
                "`SearchEvaluation` requires a model that can be searched, such as a `Seq2Seq`. "
                f"Received: {short_repr(self.model)} (of type {type(self.model).__name__})"
            )
        if self._translator is None or self._translator.model is not self.model:
            # No length limit, because a long validation source must not stop training.
            self._translator = Translator(
                self.model,
                self.source,
                self.target,
                search=self.search,
                replace_unknown=self.replace_unknown,
                max_source_length=None,
            )
        if self.log_dir is not None:
            self._writer = tf.summary.create_file_writer(self.log_dir)
        self.figures = {}

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._steps = self._optimizer_steps()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.every == "epoch":
            return
        before, self._steps = self._steps, self._optimizer_steps()
        if self._steps // self.every > before // self.every:
            self.evaluate()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.every == "epoch":
            self.evaluate()
        if logs is not None:
            logs.update(self.figures)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.end_fit()

    def end_fit(self) -> None:
        """Close the TensorBoard file, even if `fit` failed."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def begin_fit(self, model: Any, arguments: dict[str, Any], callbacks: Sequence[Any]) -> None:
        """Check that no callback reads the metrics before they are in the logs.

        Args:
            model: The model being trained.
            arguments: The arguments of `fit`.
            callbacks: All callbacks, in their order.

        Raises:
            ValueError: If a callback that monitors one of the metrics is listed before this one.
        """
        names = {f"val_{name}" for name in self.metrics}
        for callback in callbacks[: callbacks.index(self)]:
            watched = getattr(callback, "monitor", None)
            if watched in names:
                raise InputError(
                    "`SearchEvaluation` must be listed before the callbacks that monitor its "
                    f"metrics. Received: `{type(callback).__name__}` with monitor={watched!r} "
                    "before it"
                )

    def evaluate(self) -> dict[str, float]:
        """Translate all validation sources, and compute the metrics.

        A source without a target counts as wrong. To measure a model after training, use
        `keras_s2s.evaluation`.

        Returns:
            The metrics, by their names in the logs.

        Raises:
            ValueError: If `fit` is not running.
        """
        if self._translator is None:
            raise InputError(
                "`evaluate` can only be called during `fit`, because it needs the model."
            )
        sources = list(self.references)
        found = self._translator.hypotheses(sources, batch_size=self.batch_size)
        outputs = [row[0].text if row else "" for row in found]
        self.outputs = dict(zip(sources, outputs, strict=True))
        self.figures = self._compute_metrics(outputs, list(self.references.values()))
        if self._writer is not None:
            self._write_summaries()
        if self.examples and self.params and self.params.get("verbose"):
            sys.stdout.write(f"\n{self._report()}\n")
        return self.figures

    def _compute_metrics(self, outputs: list[str], references: list[list[str]]) -> dict[str, float]:
        found: dict[str, float] = {}
        if {"wer", "ter"} & set(self.metrics):
            rates = error_rates(outputs, references, tokens=self.tokens)
            found["wer"], found["ter"] = rates.sequence_error_rate, rates.token_error_rate
        if "bleu" in self.metrics:
            score = bleu(outputs, references, tokenize=self.bleu_tokenize)
            found["bleu"], self.signatures["bleu"] = score
        if "chrf" in self.metrics:
            found["chrf"], self.signatures["chrf"] = chrf(outputs, references)
        return {f"val_{name}": found[name] for name in self.metrics}

    def _report(self) -> str:
        """Format the metrics, their signatures and the examples."""
        lines = [", ".join(f"{name} {value:.4f}" for name, value in self.figures.items())]
        lines += [f"{name}: {signature}" for name, signature in self.signatures.items()]
        for source in list(self.outputs)[: self.examples]:
            output, accepted = self.outputs[source], self.references[source]
            right = "right" if is_right(output, accepted) else f"reference: {' | '.join(accepted)}"
            lines.append(f"  {source} -> {output} ({right})")
        return "\n".join(lines)

    def _write_summaries(self) -> None:
        """Write the metrics and examples for TensorBoard, without its package."""
        step = self._optimizer_steps()
        with self._writer.as_default():
            for name, value in self.figures.items():
                tf.summary.write(name, value, step, _summary_metadata("scalars"))
            if self.examples:
                text = self._report().replace("\n", "\n\n")
                tf.summary.write("examples", [text], step, _summary_metadata("text"))
        self._writer.flush()

    def _optimizer_steps(self) -> int:
        return int(self.model.optimizer.iterations.numpy())


def _references(pairs: Any) -> dict[str, list[str]]:
    """Check pairs, and group their targets by source."""
    if isinstance(pairs, str | bytes | os.PathLike) or not isinstance(pairs, Iterable):
        raise TypeError(
            "`pairs` must be an iterable of (source, target) pairs, as `read_pairs` returns. "
            f"Received: pairs={short_repr(pairs)}"
        )
    references = group_references(check_pairs(pairs))
    if not references:
        raise InputError("`pairs` must contain at least one pair. Received: none")
    return references


def _check_names(metrics: Any) -> tuple[str, ...]:
    """Check the names of the metrics."""
    if isinstance(metrics, str) or not isinstance(metrics, Iterable):
        raise TypeError(
            f"`metrics` must be a list of names. Received: metrics={short_repr(metrics)}"
        )
    metrics = tuple(metrics)
    if not metrics:
        raise InputError(
            f"`metrics` must name at least one of {', '.join(METRICS)}. Received: none"
        )
    for name in metrics:
        if name not in METRICS:
            raise InputError(
                f"Each of `metrics` must be one of {', '.join(map(repr, METRICS))}. "
                f"Received: {short_repr(name)}"
            )
    return metrics


def _summary_metadata(plugin: str) -> Any:
    """Return the metadata of a summary for one of TensorBoard's plugins."""
    metadata = tf.compat.v1.SummaryMetadata()
    metadata.plugin_data.plugin_name = plugin
    return metadata
