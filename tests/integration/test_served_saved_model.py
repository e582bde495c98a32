"""The SavedModel runs in a process without Python, through TensorFlow's C API."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from helpers.c_server import Arrays, ask, compile_server, find_compiler, measure
from helpers.served import WORDS, tiny_translator

import keras_s2s as s2s
from keras_s2s.export.signatures import SIGNATURES

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The C program, compiled against the libraries of the TensorFlow wheel."""
    if find_compiler() is None:
        pytest.skip("no C compiler on the PATH")
    return compile_server(tmp_path_factory.mktemp("serve"))


def strings(texts: list[str]) -> np.ndarray[Any, Any]:
    return np.array([text.encode() for text in texts], dtype=object)


# Each value of each option is tried in one of the two runtimes at least.
CASES = {
    "no attention": {
        "encoder": {"bidirectional": False, "context": "last_state"},
        "decoder": {"attention": None, "context_to": "every_step"},
        "search": s2s.BeamSearch(beam_width=3, num_hypotheses=3, length_penalty_formula="gnmt"),
    },
    "bahdanau": {
        "encoder": {"bidirectional": True, "num_layers": 2, "context": "max"},
        "decoder": {"attention": "bahdanau", "context_to": "both", "num_layers": 2},
        "search": s2s.GreedySearch(max_length=10, min_length=2),
    },
    "ensemble": {
        "search": s2s.BeamSearch(beam_width=3, max_length=8),
        "member": {"units": 5, "decoder": {"attention": "luong_concat"}, "scale": 1.5},
    },
}


@pytest.fixture(
    scope="module",
    params=["no attention", "bahdanau", pytest.param("ensemble", marks=pytest.mark.slow)],
)
def served(request, tmp_path_factory):
    """A translator and its export, with warm-up requests."""
    warmup = None
    if importlib.util.find_spec("tensorflow_serving"):
        warmup = s2s.export.Warmup(batch_sizes=(1, 5), lengths=(9,), texts=("",))
    options = dict(CASES[request.param])
    member = options.pop("member", None)
    translator = tiny_translator(**options)
    if member is not None:
        together = s2s.Ensemble([translator.model, tiny_translator(**member).model])
        translator = s2s.Translator(
            together, translator.source, translator.target, search=translator.search
        )
    folder = tmp_path_factory.mktemp("serving") / "model"
    return translator, s2s.export.saved_model(translator, folder, warmup=warmup)


def ask_model(translator: Any, signature: str, inputs: Any) -> Any:
    """Return the model's own answer to the inputs of a signature."""
    if signature == "ids":
        return translator.search_ids(inputs["source_ids"], translator.search)
    source, *others = (tf.constant(value) for value in inputs.values())
    if signature == "serving_default":
        return translator(source)
    if signature == "greedy":
        return translator.search_texts(source, translator.greedy_search())
    if signature == "score":
        return translator.score_texts(source, *others)
    options = dict(zip(list(inputs)[1:], others, strict=True))
    return translator.search_texts(source, translator.search, **options)


def test_every_signature_returns_the_answers_of_the_model_without_python(program, served):
    translator, export = served
    expected = translator(tf.constant(WORDS))
    rows = np.arange(len(WORDS))
    options = {
        "max_length": (rows + 1).astype(np.int32),
        "min_length": (rows % 3).astype(np.int32),
        "length_penalty": (rows / 4).astype(np.float32),
    }
    source = {"source": strings(WORDS)}
    requests = [
        ("serving_default", source),
        ("greedy", source),
        ("ids", {"source_ids": translator.source.tokenize(WORDS).numpy()}),
        ("score", {**source, "target": expected["target"].numpy()[:, 0]}),
        ("options", {**source, **options}),
    ]
    alone = [("serving_default", {"source": strings([text])}) for text in WORDS]
    answers = ask(program, export, [*requests, *alone])
    for (name, inputs), answer in zip(requests, answers[: len(requests)], strict=True):
        assert_same(answer, ask_model(translator, name, inputs))
    for row, answer in enumerate(answers[len(requests) :]):
        assert_same(answer, {name: value[row : row + 1] for name, value in expected.items()})


@pytest.mark.parametrize("served", ["no attention"], indirect=True)
def test_every_warm_up_request_gets_the_answers_of_the_model(program, served):
    prediction_log_pb2 = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    translator, export = served
    path = os.path.join(export, "assets.extra", "tf_serving_warmup_requests")
    requests = []
    for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        names = [spec.name for spec in SIGNATURES[request.model_spec.signature_name].inputs]
        assert set(request.inputs) == set(names)
        inputs = {name: tf.make_ndarray(request.inputs[name]) for name in names}
        requests.append((request.model_spec.signature_name, inputs))
    assert len(requests) == len(SIGNATURES) * 2 * 2
    answers = ask(program, export, requests, num_threads=1)
    for (name, inputs), answer in zip(requests, answers, strict=True):
        assert_same(answer, ask_model(translator, name, inputs))


@pytest.mark.parametrize("served", ["no attention"], indirect=True)
def test_requests_to_ids_may_be_merged_with_the_padding_of_a_server(program, served):
    translator, export = served
    alone = [translator.source.tokenize([text]).numpy() for text in ("hello", "a", "")]
    length = max(ids.shape[1] for ids in alone)
    # `pad_variable_length_inputs`: each request is padded with the first of its own ids
    merged = [np.pad(ids, [(0, 0), (0, length - ids.shape[1])], mode="edge") for ids in alone]
    for ids, row in zip(alone, merged, strict=True):
        row[:, ids.shape[1] :] = ids[0, 0]
    together, *answers = ask(
        program,
        export,
        [("ids", {"source_ids": ids}) for ids in (np.concatenate(merged), *alone)],
        num_threads=1,
    )
    for row, answer in enumerate(answers):
        longest = answer["target_ids"].shape[2]
        np.testing.assert_array_equal(
            together["target_ids"][row, :, :longest], answer["target_ids"][0]
        )
        assert not together["target_ids"][row, :, longest:].any()
        np.testing.assert_array_equal(together["lengths"][row], answer["lengths"][0])
        np.testing.assert_allclose(together["scores"][row], answer["scores"][0], atol=1e-5)


@pytest.mark.parametrize("served", ["no attention"], indirect=True)
@pytest.mark.parametrize("source", [np.array(b"a", object), strings(["a"])[np.newaxis]])
def test_texts_of_another_rank_are_an_error_and_do_not_end_the_server(program, served, source):
    # as from {"inputs": {"source": "a"}} or {"inputs": {"source": [["a"]]}}
    with pytest.raises(AssertionError, match="is not compatible with expected shape"):
        ask(program, served[1], [("greedy", {"source": source})], num_threads=1)


@pytest.mark.parametrize("served", ["no attention"], indirect=True)
def test_the_program_measures_response_times(program, served):
    requests = [("greedy", {"source": strings(["hello"])})]
    figures = measure(program, served[1], requests, num_threads=2, seconds=0.2)
    assert figures["answers"] >= 2
    assert figures["load_cpu_ms"] > 0
    assert figures["cpu_ms_an_answer"] > 0
    assert 0 < figures["median_ms"] <= figures["p95_ms"]
    assert 0 < figures["runtime_memory_mb"] < figures["memory_mb"] <= figures["peak_memory_mb"]


def assert_same(answer: Arrays, expected: Any) -> None:
    """Compare answers: texts and ids exactly, numbers to the rounding of a sum over all tokens."""
    assert set(answer) == set(expected)
    for name, value in expected.items():
        if name in ("scores", "log_probs"):
            np.testing.assert_allclose(answer[name], value, rtol=1e-5, atol=1e-5)
        else:
            np.testing.assert_array_equal(answer[name], value)
