"""Warm-up requests, which a model server runs before it makes a version available."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_s2s.checks import check_ints, count_of, short_repr
from keras_s2s.errors import InputError, missing_package
from keras_s2s.export.server_files import Batching
from keras_s2s.export.signatures import OPTIONS_MAX_LENGTH, SIGNATURES
from keras_s2s.special_ids import EOS_ID, SPECIAL_TOKENS
from keras_s2s.tokenizers import Tokenizer
from keras_s2s.translator import Translator

WARMUP_FILE = "tf_serving_warmup_requests"

# A model server rejects a version with more requests.
MAX_REQUESTS = 1000

Request = tuple[str, dict[str, np.ndarray[Any, Any]]]
"""The name of a signature, and an array for each of its inputs."""


@dataclasses.dataclass(frozen=True)
class Warmup:
    """Requests that a model server answers before it makes a version available.

    The first request to a graph takes longer than later ones, and so does the first request of a
    new size. Warm-up requests move that time to loading, so that no client waits. Each signature
    gets one request for each batch size and each length or text.

    Args:
        batch_sizes: Numbers of rows. All rows of a request are the same.
        lengths: Lengths of source texts in tokens, without eos. The texts are made from the
            source vocabulary.
        texts: Your own source texts, in addition to or instead of `lengths`.

    Raises:
        TypeError: If `texts` is not a list of str, or another argument is not a list.
        ValueError: If a number is not a positive integer, there are no batch sizes, or there are
            neither lengths nor texts.

    Example:
        ```python
        warmup = s2s.export.Warmup(batch_sizes=(1, 8, 64), lengths=(8, 32))
        s2s.export.saved_model(translator, "serving/g2p", warmup=warmup)
        ```
    """

    batch_sizes: Sequence[int] = (1,)
    lengths: Sequence[int] = ()
    texts: Sequence[str] = ()

    def __post_init__(self) -> None:
        listed = isinstance(self.texts, Iterable) and not isinstance(self.texts, str)
        texts = tuple(self.texts) if listed else ()
        if not listed or not all(isinstance(text, str) for text in texts):
            raise TypeError(f"`texts` must be a list of str. Received: texts={self.texts!r}")
        object.__setattr__(self, "texts", texts)
        for name in ("batch_sizes", "lengths"):
            object.__setattr__(self, name, check_ints(name, getattr(self, name), minimum=1))
        if not self.batch_sizes or not (self.lengths or self.texts):
            raise InputError(
                "A `Warmup` needs `batch_sizes`, and `lengths` or `texts`. Received: "
                f"{short_repr(self)}"
            )


def check_warmup(
    warmup: Any, batching: Batching, translator: Translator, names: Collection[str]
) -> None:
    """Check that warm-up requests can be written, and that a server will accept them.

    Args:
        warmup: The value to check.
        batching: The batching settings of the server.
        translator: The exported `Translator`.
        names: The exported signatures.

    Raises:
        TypeError: If it is not a `Warmup`.
        ValueError: If there are more requests than the server accepts, or a request has more rows.
            The server would not load the model. Also if a source is longer than the translator's
            `max_source_length`: the graph rejects it without a search, so it warms up nothing.
        ImportError: If the tensorflow-serving-api package is not installed.
    """
    if not isinstance(warmup, Warmup):
        raise TypeError(f"`warmup` must be a `Warmup`. Received: warmup={warmup!r}")
    num_texts = len(warmup.lengths) + len(warmup.texts)
    count = len(names) * len(warmup.batch_sizes) * num_texts
    if count > MAX_REQUESTS:
        raise InputError(
            f"`warmup` must make at most {MAX_REQUESTS} requests, because a server rejects a "
            f"version with more. Received: {count} requests, for "
            f"{count_of(len(names), 'signature')}, "
            f"{count_of(len(warmup.batch_sizes), 'batch size')} and {count_of(num_texts, 'source')}"
        )
    if max(warmup.batch_sizes) > batching.max_batch_size:
        raise InputError(
            "The batch sizes of `warmup` must be at most the `max_batch_size` of `batching`, "
            f"{batching.max_batch_size}, because a batching server rejects larger requests and "
            f"would not load the version. Received: {tuple(warmup.batch_sizes)}"
        )
    _check_lengths(warmup, translator)
    _import_apis()


def make_requests(
    translator: Translator, warmup: Warmup, names: Iterable[str] = tuple(SIGNATURES)
) -> list[Request]:
    """Make the warm-up requests of a translator.

    Args:
        translator: The `Translator`.
        warmup: The sizes and texts of the requests.
        names: The exported signatures.

    Returns:
        The requests, signature by signature.
    """
    texts = [*warmup.texts, *_make_texts(translator.source, warmup.lengths)]
    rows = [_inputs_of_signatures(translator, text) for text in texts]
    return [
        (name, {key: np.repeat(value, size, axis=0) for key, value in row[name].items()})
        for name in names
        for row in rows
        for size in warmup.batch_sizes
    ]


def write_requests(requests: Iterable[Request], path: str) -> None:
    """Write warm-up requests as a model server reads them: TFRecords of `PredictionLog` messages.

    Args:
        requests: The requests.
        path: Destination path.

    Raises:
        OSError: If writing fails, for example because the disk is full.
    """
    predict_pb2, prediction_log_pb2 = _import_apis()
    try:
        with tf.io.TFRecordWriter(path) as writer:
            for name, inputs in requests:
                request = predict_pb2.PredictRequest()
                request.model_spec.signature_name = name
                for key, value in inputs.items():
                    request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
                log = prediction_log_pb2.PredictLog(request=request)
                record = prediction_log_pb2.PredictionLog(predict_log=log)
                writer.write(record.SerializeToString())
    except tf.errors.OpError as error:
        raise OSError(
            f"Could not write the warm-up requests to {path!r}: {error.message}"
        ) from error


def _check_lengths(warmup: Warmup, translator: Translator) -> None:
    """Raise if a source is longer than the translator allows."""
    limit = translator.max_source_length
    if limit is None or translator.truncate_source:
        return
    lengths = [*warmup.lengths]
    if warmup.texts:
        lengths += translator.source.split(tf.constant(warmup.texts))[1].numpy().tolist()
    longest = max(lengths) + 1  # eos
    if longest > limit:
        raise InputError(
            "The sources of `warmup` must have at most the translator's `max_source_length` "
            f"tokens, {limit}, including eos: longer ones are rejected without a search, which "
            f"warms up nothing. Received: {longest} tokens"
        )


def _inputs_of_signatures(
    translator: Translator, text: str
) -> dict[str, dict[str, np.ndarray[Any, Any]]]:
    """Return the inputs of each signature for one text, in batches of one."""
    search = translator.search
    source = {"source": np.array([text.encode()], dtype=object)}
    with tf.device("CPU:0"):  # on a GPU, XLA would compile this one search
        found = translator.search_texts(tf.constant([text]), translator.greedy_search())
    target = found["target"].numpy()[:, 0].astype(object)
    source_ids = translator.source.tokenize(tf.constant([text])).numpy()
    return {
        "serving_default": source,
        "greedy": source,
        "ids": {"source_ids": source_ids},
        "greedy_ids": {"source_ids": source_ids},
        "score": {**source, "target": target},
        "score_ids": {
            "source_ids": source_ids,
            "target_ids": translator.target.tokenize(tf.constant(target)).numpy(),
        },
        "options": {
            **source,
            "max_length": np.array([search.max_length or OPTIONS_MAX_LENGTH], np.int32),
            "min_length": np.array([search.min_length], np.int32),
            "length_penalty": np.array([search.length_penalty], np.float32),
        },
    }


def _make_texts(tokenizer: Tokenizer, lengths: Iterable[int]) -> list[str]:
    """Make a text for each length in tokens; for subword tokenizers the length is approximate."""
    ids = np.arange(len(SPECIAL_TOKENS), tokenizer.vocabulary_size, dtype=np.int32)
    alone = tokenizer.detokenize(tf.constant(ids[:, np.newaxis])).numpy()
    again = tokenizer.tokenize(tf.constant(alone)).numpy()[:, :2]
    # tokens that are valid texts on their own: not a byte from the middle of a character
    usable = (again[:, 0] == ids) & (again[:, 1] == EOS_ID)
    ids = ids[usable & [text.decode(errors="ignore").encode() == text for text in alone]]
    generator = np.random.default_rng(0)
    texts = [
        tokenizer.detokenize(tf.constant(generator.choice(ids, size=(1, length))))
        for length in lengths
    ]
    return [text.numpy()[0].decode() for text in texts]


def _import_apis() -> tuple[Any, Any]:
    """Import the protocol buffers of a model server, or raise with the package to install."""
    try:
        from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
    except ImportError as error:
        raise missing_package("tensorflow_serving", error) from error
    return predict_pb2, prediction_log_pb2
