"""`Translator`: tokenizers, model and search as one object."""

from __future__ import annotations

import dataclasses
import importlib
import os
from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from keras_s2s.calibration import Calibration, calibrate
from keras_s2s.checks import check_bool, check_choice, check_int, check_positive_int
from keras_s2s.convergence import check_converged, renumber_rows
from keras_s2s.data.pairs import check_pairs
from keras_s2s.errors import InputError
from keras_s2s.evaluation import is_right
from keras_s2s.files import written_beside
from keras_s2s.graphs import CompiledCalls, GraphState
from keras_s2s.hypothesis import Hypothesis, hypotheses_of_rows
from keras_s2s.models import Searchable
from keras_s2s.models.ids import until_eos
from keras_s2s.models.xla import choose_jit_compile
from keras_s2s.optimizers import without_optimizers
from keras_s2s.search import BeamSearch, GreedySearch, Search, SearchResult
from keras_s2s.search.result import count_tokens
from keras_s2s.search.task import length_divisor
from keras_s2s.source_limits import (
    check_token_counts,
    clear_rejected,
    empty_rows,
    group_translatable,
    limit_length,
    limit_sources,
)
from keras_s2s.special_ids import IMPOSSIBLE
from keras_s2s.text_inputs import check_several, encode_texts
from keras_s2s.texts import batches_by_length
from keras_s2s.tokenizers import Tokenizer
from keras_s2s.tokenizers.copying import prefer_unknown, replace_unknown
from keras_s2s.tokenizers.strings import count_words
from keras_s2s.translator_parts import (
    check_can_replace,
    check_confidence,
    check_parts,
    check_vocabularies,
)

# Default of `max_source_length`. The docstring of the class gives the reason.
MAX_SOURCE_LENGTH = 1000


@keras.saving.register_keras_serializable(package="keras_s2s")
class Translator(keras.Model):
    """A trained model with its two tokenizers and a search.

    A translator is saved with `save` (one `.keras` file), loaded with `keras_s2s.load` and exported
    with `keras_s2s.export`.

    Args:
        model: A `Seq2Seq` model, or an `Ensemble`.
        source: Source tokenizer, with the vocabulary of the encoder.
        target: Target tokenizer, with the vocabulary of the decoder.
        search: The search to use. Defaults to `BeamSearch()`.
        replace_unknown: Whether to replace an unknown token in a target with the source token that
            has the most attention, as spelled in the source text. This is useful for names.
            Otherwise, an unknown token is written as "⁇". Scores do not change. Requires a model
            with attention and a source tokenizer of characters, words or features. In a model that
            copies, source tokens that the target vocabulary lacks are preferred. Defaults to
            `False`.
        confidence: Whether to return "confidences" too, the probability that a whole output is
            correct: exp(log_prob / temperature). A number is the temperature, and `True` means
            temperature 1. `calibrate` fits the temperature to the best outputs (the confidences of
            other hypotheses are too high). It is stored in the file and in exports, and valid only
            for this model, so calibrate an ensemble or an average of models again. Defaults to
            `False`.
        max_source_length: Maximum number of tokens in a source, including eos. `None` means no
            limit. Defaults to 1000: with beam width 5, such a source takes 0.2 to 1 s on one core,
            longest with monotonic attention. One of 8,000 tokens takes several seconds or more, and
            could block a server for all other requests. The limit applies in Python and in every
            export.
        truncate_source: Whether to truncate longer sources, with a warning by `translate`.
            Otherwise, `translate` raises an error, and a call or an export returns no hypothesis
            for them (the empty text, score and log probability -1e9). Defaults to `False`.

    Call arguments:
        texts: String tensor `(batch,)`, a list of str or a numpy array.

    Returns:
        A dict of "target" string, "scores", "log_probs" and, if enabled, "confidences" float32,
        each `(batch, num_hypotheses)`, best first. An empty slot contains the empty text and -1e9,
        and so do all slots of a text that is empty, consists of white space or is too long.

    Raises:
        TypeError: If a part has the wrong type.
        ValueError: If a vocabulary size does not match the model, the model's `copy_ids` do not
            match the tokenizers, or unknown tokens cannot be replaced.
    """

    def __init__(
        self,
        model: Searchable,
        source: Tokenizer,
        target: Tokenizer,
        *,
        search: Search | None = None,
        replace_unknown: bool = False,
        confidence: bool | float = False,
        max_source_length: int | None = MAX_SOURCE_LENGTH,
        truncate_source: bool = False,
        **kwargs: Any,
    ) -> None:
        # A translator computes in float32, even if the model was trained in mixed precision.
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        search = BeamSearch() if search is None else search
        check_parts(model, source, target, search)
        if check_bool("replace_unknown", replace_unknown):
            check_can_replace(model, source)
        self.model = model
        self.source = source
        self.target = target
        self.search = search
        self.replace_unknown = bool(replace_unknown)
        self.temperature = check_confidence(confidence)
        if max_source_length is not None:
            check_int("max_source_length", max_source_length, minimum=2)
        self.max_source_length = max_source_length
        self.truncate_source = check_bool("truncate_source", truncate_source)
        self._compiled_calls = CompiledCalls()
        # Keras must not convert a list of texts to tensors.
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True
        check_vocabularies(model, source, target)
        self.built = True

    def build(self, input_shape: Any = None) -> None:
        """Do nothing, because the parts are already built."""

    def call(self, texts: Any) -> dict[str, tf.Tensor]:
        """Translate texts with the translator's search.

        Args:
            texts: String tensor `(batch,)`, or a list of `str`.

        Returns:
            Dict of tensors, as described for the class.
        """
        check_several(texts)
        return self.search_texts(texts, self.search)

    def tokenize_sources(self, texts: tf.Tensor) -> tf.Tensor:
        """Tokenize source texts. A text of white space has no tokens, whatever the tokenizer.

        Args:
            texts: String tensor `(batch,)`.

        Returns:
            int32 `(batch, length)`, padded on the right with 0. Each row ends with eos.
        """
        texts = tf.convert_to_tensor(texts)
        return empty_rows(self.source.tokenize(texts), tf.equal(count_words(texts), 0))

    def search_texts(
        self, texts: tf.Tensor, search: Search, **row_values: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Translate with the given search instead of the translator's.

        Args:
            texts: String tensor `(batch,)`.
            search: The search to use.
            **row_values: Values of a search for each row, as in the model's `search`.

        Returns:
            The same as a call.
        """
        source_ids, rejected = self._limit(self.tokenize_sources(texts))
        found = self.model.search(
            source_ids, search, return_attention=self.replace_unknown, **row_values
        )
        outputs = clear_rejected(
            {"ids": found.ids, **self._scores_and_confidences(found)}, rejected
        )
        ids = outputs.pop("ids")
        if self.replace_unknown:
            attention = found.attention
            copying = [it.copy_ids for it in self.model.members() if it.copy_ids is not None]
            if copying:
                attention = prefer_unknown(attention, source_ids, copying[0])
            target = self._replace_unknown(ids, texts, attention)
        else:
            target = self.target.detokenize(ids)
        return {"target": target, **outputs}

    def score_texts(
        self, texts: tf.Tensor, targets: tf.Tensor, *, max_target_length: int | None = None
    ) -> dict[str, tf.Tensor]:
        """Score given targets: compute log P(target | source), including eos.

        Args:
            texts: String tensor `(batch,)`. The sources.
            targets: String tensor `(batch,)`.
            max_target_length: Maximum number of tokens of a target, including eos. `None` means no
                limit. Defaults to `None`.

        Returns:
            A dict of "log_probs" and "scores" (with the search's length penalty), float32
            `(batch,)`, -1e9 if the source or the target exceeds its limit, or the source is empty.
        """
        return self.score_ids(
            self.tokenize_sources(texts),
            self.target.tokenize(targets),
            max_target_length=max_target_length,
        )

    def search_ids(
        self, source_ids: tf.Tensor, search: Search, **row_values: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Search for the targets of sources that are given as ids.

        Args:
            source_ids: int32 tensor `(batch, source_length)`.
            search: The search to use.
            **row_values: Values of a search for each row, as in the model's `search`.

        Returns:
            A dict of "target_ids" int32 `(batch, num_hypotheses, length)`, "lengths" int32,
            "scores" and "log_probs" float32, each `(batch, num_hypotheses)`, best first.
        """
        source_ids, rejected = self._limit(source_ids)
        found = self.model.search(source_ids, search, **row_values)
        outputs = {
            "target_ids": found.ids,
            "lengths": found.lengths,
            **self._scores_and_confidences(found),
        }
        return clear_rejected(outputs, rejected)

    def score_ids(
        self,
        source_ids: tf.Tensor,
        target_ids: tf.Tensor,
        *,
        max_target_length: int | None = None,
    ) -> dict[str, tf.Tensor]:
        """Score given targets as ids: compute log P(target | source), including eos.

        Args:
            source_ids: int32 tensor `(batch, source_length)`.
            target_ids: int32 tensor `(batch, target_length)`, without bos, padded on the right
                with 0.
            max_target_length: Maximum number of tokens of a target, including eos. `None` means no
                limit. Defaults to `None`.

        Returns:
            A dict of "log_probs" and "scores" (with the search's length penalty), float32
            `(batch,)`, -1e9 if the source or the target exceeds its limit, or the source is empty.
        """
        source_ids, rejected_sources = self._limit(source_ids)
        target_ids = until_eos(tf.convert_to_tensor(target_ids))
        target_ids, rejected_targets = limit_length(target_ids, max_target_length)
        log_probs = self.model.log_prob(source_ids, target_ids)
        outputs = {
            "log_probs": log_probs,
            "scores": log_probs
            / length_divisor(
                tf.maximum(count_tokens(target_ids), 1),  # 0 in a row of pads
                self.search.length_penalty,
                self.search.length_penalty_formula,
            ),
        }
        return clear_rejected(clear_rejected(outputs, rejected_sources), rejected_targets)

    def translate(self, texts: Iterable[str], *, batch_size: int = 64) -> list[str]:
        """Translate each text to the best target that the search finds.

        Texts of similar length share a batch. The targets are in the order of the texts.

        Args:
            texts: A list of str, a numpy array or a string tensor `(n,)`.
            batch_size: Number of texts to search together. Defaults to 64.

        Returns:
            One target for each text.

        Raises:
            TypeError: If `texts` is a single text, or one of them is not text.
            ValueError: If a text is empty, not valid Unicode, or longer than `max_source_length`,
                or has no target that the search allows. Also if the model has diverged (its logits
                are NaN, infinite or all -inf).
        """
        targets = []
        for number, found in enumerate(self.hypotheses(texts, batch_size=batch_size)):
            if not found:
                raise InputError(
                    f"No target was found for the text at position {number}. Expected: a target "
                    "that satisfies the rules of the search"
                )
            targets.append(found[0].text)
        return targets

    def hypotheses(self, texts: Iterable[str], *, batch_size: int = 64) -> list[list[Hypothesis]]:
        """Search for the `num_hypotheses` best targets of each text.

        Args:
            texts: As for `translate`.
            batch_size: Number of texts to search together. Defaults to 64.

        Returns:
            The `Hypothesis` tuples of each text, best first: text, score, log_prob and, with
            `confidence`, confidence. A text without a target that the search allows has none.

        Raises:
            TypeError: If `texts` is a single text, or one of them is not text.
            ValueError: As for `translate`, except that a text may have no target.
        """
        check_positive_int("batch_size", batch_size)
        encoded = encode_texts(texts)
        if not encoded:
            return []
        check_token_counts(
            encoded, self.source, self.max_source_length, truncate=self.truncate_source
        )
        signature = [tf.TensorSpec([None], tf.string)]
        limits = self.max_source_length, self.truncate_source
        key = (self.search, self.replace_unknown, self.temperature, *limits)
        run = self.call
        if not choose_jit_compile("auto", self.search):  # XLA cannot compile texts
            run = self._compiled_calls.get(key, run, signature, state=self._graph_state())
        found: list[list[Hypothesis]] = [[] for _ in encoded]
        for numbers in batches_by_length(encoded, batch_size):
            with renumber_rows(numbers):
                outputs = run(tf.constant([encoded[number] for number in numbers]))
                check_converged(outputs["scores"])
            rows = hypotheses_of_rows({name: it.numpy() for name, it in outputs.items()})
            for number, row in zip(numbers, rows, strict=True):
                found[number] = row
        return found

    def calibrate(self, pairs: Iterable[tuple[str, str]], *, batch_size: int = 64) -> Calibration:
        """Fit the temperature of the confidences on validation pairs, and set it.

        Sources longer than `max_source_length` are skipped, unless they are truncated. A source
        without a target counts as wrong. The method warns if too few outputs are correct, or too
        few are wrong, to fit a temperature.

        Args:
            pairs: Validation pairs (source, target), which the model was not trained on. A source
                that occurs in several pairs has several correct outputs.
            batch_size: Number of sources to search together. Defaults to 64.

        Returns:
            The `Calibration`: temperature, expected calibration error before and after, and the
            confidences for `keras_s2s.plots.reliability`.

        Raises:
            TypeError: If `pairs` does not contain pairs.
            ValueError: If there are no pairs, or all sources are too long.
        """
        limit = None if self.truncate_source else self.max_source_length
        references = group_translatable(check_pairs(pairs), self.source, limit)
        found = self.hypotheses(list(references), batch_size=batch_size)
        right = [
            bool(row) and is_right(row[0].text, accepted)
            for row, accepted in zip(found, references.values(), strict=True)
        ]
        calibration = calibrate([row[0].log_prob if row else IMPOSSIBLE for row in found], right)
        self.temperature = calibration.temperature
        return calibration

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Raise an error, because the model is trained, not the translator.

        Raises:
            ValueError: Always.
        """
        raise InputError("A `Translator` cannot be trained. Train its `model`, a `Seq2Seq`")

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Call the translator in batches, like `keras.Model.predict`.

        To get only the best targets, use `translate`.

        Args:
            x: Texts, as for `translate`, or a dataset of string tensors `(batch,)`.
            *args: Arguments of `keras.Model.predict`.
            **kwargs: Arguments of `keras.Model.predict`.

        Returns:
            The same as a call, as arrays.

        Raises:
            TypeError, ValueError: If `x` is not a dataset, as for `translate`.
        """
        if not isinstance(x, tf.data.Dataset):
            x = tf.constant(encode_texts(x), tf.string)
            if not len(x):  # Keras cannot predict without a batch
                return {name: value.numpy() for name, value in self.call(x).items()}
        return super().predict(x, *args, **kwargs)

    def greedy_search(self) -> GreedySearch:
        """Return a greedy search with the limits of the translator's own search."""
        names = {field.name for field in dataclasses.fields(GreedySearch)}
        return GreedySearch(**{name: getattr(self.search, name) for name in sorted(names)})

    def save(self, filepath: str | os.PathLike[str], overwrite: bool = True, **kwargs: Any) -> None:
        """Save the model, the vocabularies and the search in one `.keras` file.

        The file is written under a temporary name and then renamed. If saving is interrupted, an
        existing file remains unchanged.

        Args:
            filepath: Destination path. Must end in ".keras".
            overwrite: Whether to replace an existing file. Defaults to `True`.
            **kwargs: Other arguments of `keras.Model.save` for the `.keras` format.

        Raises:
            ValueError: If the name does not end in ".keras".
            FileExistsError: If the file exists and `overwrite` is false.
        """
        filepath = os.fspath(filepath)
        if not filepath.endswith(".keras"):
            raise InputError(f"The file name must end in '.keras'. Received: filepath={filepath!r}")
        if not check_bool("overwrite", overwrite) and os.path.exists(filepath):
            raise FileExistsError(
                f"{filepath!r} already exists; use `overwrite=True` to replace it."
            )
        members = without_optimizers([self.model, *self.model.members()])
        with written_beside(filepath, suffix=".keras") as unfinished, members:
            super().save(unfinished, **kwargs)

    def export(
        self,
        filepath: str | os.PathLike[str],
        format: str | None = None,  # noqa: A002, Keras's name
        **options: Any,
    ) -> str:
        """Export for a runtime, like the functions of `keras_s2s.export`.

        Args:
            filepath: The folder for the versions of a SavedModel, or a ".tflite" or ".onnx" file.
            format: "saved_model" for TF Serving, "litert" for devices, or "onnx". Keras's name
                "tf_saved_model" is accepted for the first. Defaults to the format of the suffix of
                `filepath`, "saved_model" for a folder.
            **options: The arguments of `keras_s2s.export.saved_model`, `litert` or `onnx`.

        Returns:
            The path of the export. For a SavedModel, the folder of the new version.

        Raises:
            ValueError: If `format` is unknown.
            TypeError, ValueError, OSError, ImportError: Raised by the function of the format.
        """
        if format is None:
            suffix = os.path.splitext(os.fspath(filepath))[1]
            format = {".tflite": "litert", ".onnx": "onnx"}.get(suffix, "saved_model")  # noqa: A001
        name = {"tf_saved_model": "saved_model"}.get(format, format)
        check_choice("format", name, ("saved_model", "litert", "onnx"))
        # Imported by name, because the package `export` depends on this module.
        exports = importlib.import_module("keras_s2s.export")
        path: str = getattr(exports, name)(self, filepath, **options)
        return path

    def get_config(self) -> dict[str, Any]:
        model = keras.saving.serialize_keras_object(self.model)
        model.pop("compile_config", None)  # a translator is not trained
        return {
            **super().get_config(),
            "model": model,
            "source": keras.saving.serialize_keras_object(self.source),
            # None: the same tokenizer as the source, so that Keras stores its vocabulary once
            "target": None
            if self.target is self.source
            else keras.saving.serialize_keras_object(self.target),
            "search": keras.saving.serialize_keras_object(self.search),
            "replace_unknown": self.replace_unknown,
            "confidence": self.temperature or False,
            "max_source_length": self.max_source_length,
            "truncate_source": self.truncate_source,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Translator:
        """Create a translator from the result of `get_config`, with new weights."""
        config = dict(config)
        for part in ("model", "source", "target", "search"):
            config[part] = keras.saving.deserialize_keras_object(
                config[part], custom_objects=custom_objects
            )
        if config["target"] is None:
            config["target"] = config["source"]
        return cls(**config)

    def __repr__(self) -> str:
        options = [f"search={self.search!r}"]
        if self.replace_unknown:
            options.append("replace_unknown=True")
        if self.temperature is not None:
            options.append(f"confidence={self.temperature}")
        if self.max_source_length != MAX_SOURCE_LENGTH:
            options.append(f"max_source_length={self.max_source_length}")
        if self.truncate_source:
            options.append("truncate_source=True")
        parts = f"{self.model!r}, {self.source!r}, {self.target!r}"
        return f"Translator({parts}, {', '.join(options)})"

    def _replace_unknown(self, ids: tf.Tensor, texts: Any, attention: tf.Tensor) -> tf.Tensor:
        """Detokenize ids with source tokens in place of unk."""
        source: Any = self.source  # a `LookupTokenizer`

        def replace(ids: tf.Tensor, texts: tf.Tensor, attention: tf.Tensor) -> tf.Tensor:
            return replace_unknown(self.target, ids, source, texts, attention)

        texts = tf.convert_to_tensor(texts, tf.string)
        if not tf.executing_eagerly():
            return replace(ids, texts, attention)
        signature = [
            tf.TensorSpec([None] * 3, tf.int32),
            tf.TensorSpec([None], tf.string),
            tf.TensorSpec([None] * 4, tf.float32),
        ]
        run = self._compiled_calls.get(
            "replace_unknown", replace, signature, state=self._graph_state()
        )
        return run(ids, texts, attention)

    def _graph_state(self) -> GraphState:
        """Return what the compiled functions depend on, besides settings."""
        return GraphState(self.model, self.source, self.target)

    def _scores_and_confidences(self, found: SearchResult) -> dict[str, tf.Tensor]:
        """Return scores, log probabilities and confidences, `(batch, num_hypotheses)`."""
        results = {"scores": found.scores, "log_probs": found.log_probs}
        if self.temperature is not None:
            results["confidences"] = tf.exp(found.log_probs / self.temperature)
        return results

    def _limit(self, source_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Reject sources that are empty or too long. See `limit_sources`."""
        source_ids = tf.convert_to_tensor(source_ids)
        return limit_sources(source_ids, self.max_source_length, truncate=self.truncate_source)
