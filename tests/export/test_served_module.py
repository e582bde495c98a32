from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers.rounding import ONE_PATH, assert_close
from helpers.served import WORDS, shared_translator, tiny_translator

from keras_s2s import BeamSearch, Seq2Seq, Translator
from keras_s2s.export.served_module import (
    ServedModule,
    check_answers,
    check_translator,
    save,
    trace,
)
from keras_s2s.export.signatures import OPTIONS_MAX_LENGTH, SIGNATURES


@pytest.fixture(scope="module")
def translator():
    return shared_translator()


@pytest.fixture(scope="module")
def functions(translator):
    return trace(translator, SIGNATURES)


def test_a_module_holds_each_weight_and_each_table_once(translator):
    module = ServedModule(translator)
    assert len(module.variables) == len(translator.model.weights)
    assert module.tables == [*translator.source.tables, *translator.target.tables]
    assert module.size() == sum(4 * np.prod(weight.shape) for weight in translator.model.weights)


def test_dropout_leaves_nothing_in_the_module():
    translator = tiny_translator(encoder={"dropout": 0.5}, decoder={"dropout": 0.5})
    assert ServedModule(translator).size() == ServedModule(tiny_translator()).size()


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_traced_signature_is_the_promised_one(functions, name):
    function = functions[name]
    inputs = tuple(function.structured_input_signature[0]) or tuple(
        function.structured_input_signature[1].values()
    )
    assert inputs == SIGNATURES[name].inputs
    outputs = {spec.name: spec for spec in SIGNATURES[name].outputs}
    assert set(function.structured_outputs) == set(outputs)
    for key, output in function.structured_outputs.items():
        assert output.dtype == outputs[key].dtype
        assert output.shape.is_compatible_with(outputs[key].shape)
        assert output.shape[0] is None


def test_what_a_server_pads_ids_with_is_not_read(translator, functions):
    ids = translator.source.tokenize(["hello", "a"]).numpy()
    padded = np.pad(ids, [(0, 0), (0, 3)], constant_values=ids[0, 0])
    padded[1, 2:] = ids[0, 0]
    expected, found = (functions["ids"](tf.constant(each)) for each in (ids, padded))
    for name in ("target_ids", "lengths"):
        np.testing.assert_array_equal(found[name], expected[name])
    for name in ("scores", "log_probs"):  # products over more columns, summed in another order
        assert_close(found[name], expected[name], ONE_PATH)


def test_the_search_itself_is_what_the_options_of_its_settings_give(translator, functions):
    rows = np.ones(len(WORDS))
    search = translator.search
    found = functions["options"](
        tf.constant(WORDS),
        tf.constant(rows * search.max_length, tf.int32),
        tf.constant(rows * search.min_length, tf.int32),
        tf.constant(rows * search.length_penalty, tf.float32),
    )
    expected = functions["serving_default"](tf.constant(WORDS))
    np.testing.assert_array_equal(found["target"], expected["target"])
    np.testing.assert_allclose(found["scores"], expected["scores"], rtol=1e-6)


def test_a_request_cannot_ask_for_endless_answers():
    translator = tiny_translator(search=BeamSearch(beam_width=1, max_length=4))
    bias = translator.model.decoder.logits.bias
    bias.assign(bias - 100 * np.eye(bias.shape[0])[3])  # never ends by itself
    (function,) = trace(translator, ["options"]).values()
    found = function(
        tf.constant(["a"]), tf.constant([10**9]), tf.constant([10**9]), tf.constant([0.0])
    )
    assert len(found["target"].numpy()[0, 0].split()) == OPTIONS_MAX_LENGTH


def test_what_is_not_a_translator_is_refused(translator):
    with pytest.raises(TypeError, match=r"Only a `Translator` can be exported.*Received: Seq2Seq"):
        check_translator(translator.model)


def test_a_model_with_its_first_biases_can_be_exported(translator):
    """For smoke tests, benchmarks, and biases imported as zeros."""
    model = Seq2Seq.from_config(translator.model.get_config())
    check_translator(Translator(model, translator.source, translator.target))


def test_weights_that_are_not_finite_are_refused_by_name():
    translator = tiny_translator()
    kernel = translator.model.decoder.logits.kernel
    kernel.assign(tf.where(tf.range(kernel.shape[1]) == 0, np.nan, kernel))
    with pytest.raises(ValueError, match=rf"has diverged. Received: 6 of .*'{kernel.path}'"):
        check_translator(translator)


@pytest.mark.parametrize("value", [3e38, -3e38])
def test_finite_weights_that_overflow_are_refused(value):
    translator = tiny_translator()
    kernel = translator.model.decoder.logits.kernel
    kernel.assign(tf.fill(kernel.shape, value))
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=r"diverged|finite"):
        check_answers(translator, ["hello", "a"])


def test_an_error_of_the_disk_is_an_os_error(translator, functions, tmp_path):
    (tmp_path / "file").write_text("")
    path = str(tmp_path / "file" / "model")
    with pytest.raises(OSError, match=f"Could not write the SavedModel to '{path}'"):
        save(ServedModule(translator), functions, path)
