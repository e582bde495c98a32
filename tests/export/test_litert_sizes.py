from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.interpreter import Interpreter
from helpers.served import WORDS, shared_translator

from keras_s2s.export.litert_sizes import fix_sizes, without_fixed_sizes
from keras_s2s.export.served_module import ServedModule, save, trace
from keras_s2s.export.signatures import input_specs

NUM_HYPOTHESES, MAX_LENGTH = 2, 12  # those of the search
SPECS = input_specs("ids")


@pytest.fixture(scope="module")
def translator():
    return shared_translator()


@pytest.fixture(scope="module")
def function(translator):
    ids = trace(translator, ["ids"])["ids"]
    return fix_sizes(ids, SPECS, NUM_HYPOTHESES, MAX_LENGTH)


@pytest.fixture(scope="module")
def content(translator, function, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("sizes"))
    save(ServedModule(translator), {"ids": function}, folder)
    converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["ids"])
    return bytes(converter.convert())


def check(found, translator, source_ids):
    expected = translator.model.search(source_ids, translator.search)
    longest = expected.ids.shape[2]
    assert found["target_ids"].shape == (len(source_ids), NUM_HYPOTHESES, MAX_LENGTH)
    np.testing.assert_array_equal(found["target_ids"][:, :, :longest], expected.ids)
    assert not np.any(found["target_ids"][:, :, longest:])
    np.testing.assert_array_equal(found["lengths"], expected.lengths)
    np.testing.assert_allclose(found["scores"], expected.scores, atol=1e-5)
    np.testing.assert_allclose(found["log_probs"], expected.log_probs, atol=1e-5)


@pytest.mark.parametrize("texts", [WORDS, WORDS[:1], WORDS[1:3]])
def test_the_interpreter_gives_outputs_of_that_size(content, translator, texts):
    source_ids = translator.source.tokenize(texts).numpy()
    run = Interpreter(model_content=content).get_signature_runner("ids")
    check(run(source_ids=source_ids), translator, source_ids)


def test_the_compiled_model_runs_it_at_any_length(content, translator):
    model = CompiledModel.from_buffer(content)
    for text in ("hello", "a", "zebra crossing", "hello"):
        source_ids = translator.source.tokenize([text]).numpy()
        model.resize_input_tensor_by_name("ids", "source_ids", list(source_ids.shape))
        inputs = model.create_input_buffer_by_name("ids", "source_ids")
        inputs.write(source_ids.ravel())
        sizes = {"target_ids": (1, NUM_HYPOTHESES, MAX_LENGTH)}
        outputs = {
            output: model.create_output_buffer_by_name("ids", output)
            for output in ("target_ids", "lengths", "scores", "log_probs")
        }
        model.run_by_name("ids", {"source_ids": inputs}, outputs)
        found = {}
        for output, buffer in outputs.items():
            shape = sizes.get(output, (1, NUM_HYPOTHESES))
            dtype = np.int32 if output in ("target_ids", "lengths") else np.float32
            found[output] = buffer.read(int(np.prod(shape)), dtype).reshape(shape)
        check(found, translator, source_ids)


def test_without_a_longest_target_the_signature_stays(translator):
    ids = trace(translator, ["ids"])["ids"]
    assert fix_sizes(ids, SPECS, NUM_HYPOTHESES, None) is ids


def test_all_other_operations_are_left_to_be_checked(function):
    graph_def = function.graph.as_graph_def()
    kept = without_fixed_sizes(graph_def)
    before = {node.op for node in graph_def.node} | _of_functions(graph_def)
    after = {node.op for node in kept.node} | _of_functions(kept)
    assert before - after == {"XlaDynamicUpdateSlice"}


def _of_functions(graph_def):
    return {node.op for function in graph_def.library.function for node in function.node_def}
