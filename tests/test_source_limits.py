"""The maximum source length is the same in Python and every runtime."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from helpers.served import tiny_translator
from helpers.served_litert import write

import keras_s2s as s2s
from keras_s2s.export.litert_runner import LiteRTRunner
from keras_s2s.export.saved_model_session import SavedModelSession
from keras_s2s.export.sessions import LiteRTSession
from keras_s2s.source_limits import count_excess, limit_length

IDS = [[4, 5, 6, 7, 3], [4, 3, 9, 9, 9], [4, 5, 3, 0, 0], [4, 5, 6, 7, 8]]
TEXTS = ["hello", "hello hello hello", "a"]
BLANK = ["", " ", "\u3000\u00a0\n"]


def make_translator(**options):
    made = tiny_translator()
    return s2s.Translator(made.model, made.source, made.target, search=made.search, **options)


@pytest.fixture(scope="module")
def translator():
    return make_translator(max_source_length=8)


def test_a_long_row_is_rejected_and_costs_no_more_than_its_batch_mates():
    ids, refused = limit_length(tf.constant(IDS), 3)
    assert ids.numpy().tolist() == [[3, 0, 0], [4, 3, 9], [4, 5, 3], [3, 0, 0]]
    assert refused.numpy().tolist() == [True, False, False, True]


def test_a_long_row_is_truncated_on_request():
    ids, refused = limit_length(tf.constant(IDS), 3, truncate=True)
    assert ids.numpy().tolist() == [[4, 5, 3], [4, 3, 9], [4, 5, 3], [4, 5, 3]]
    assert refused is None


@pytest.mark.parametrize("limit", [None, 5, 9])
def test_rows_within_the_limit_stay_as_they_are(limit):
    ids = tf.constant(IDS)
    assert limit_length(ids, limit) == (ids, None)
    dynamic = tf.function(
        lambda ids: limit_length(ids, 5)[0], input_signature=[tf.TensorSpec([None, None], tf.int32)]
    )
    assert dynamic(ids).numpy().tolist() == IDS
    assert dynamic(ids[:0]).shape[0] == 0


def test_translate_rejects_a_long_text_by_its_position(translator):
    message = r"at most `max_source_length`=8 tokens each.*Received: 18 tokens at position 1"
    with pytest.raises(ValueError, match=message):
        translator.translate(TEXTS)
    assert translator.translate(["hello h"]) == tiny_translator().translate(["hello h"])


def test_a_truncated_text_is_reported_and_answered_as_its_beginning():
    translator = make_translator(max_source_length=8, truncate_source=True)
    with pytest.warns(
        UserWarning, match="`=8 tokens were truncated: 1 of .* position 1 and has 18 tokens"
    ):
        found = translator.translate(TEXTS)
    assert found == translator.translate(["hello", "hello h", "a"])


def test_only_texts_that_may_be_too_long_are_tokenized_and_few_at_a_time(monkeypatch):
    tokenizer = tiny_translator().source
    calls, split = [], tokenizer.split
    monkeypatch.setattr(tokenizer, "split", lambda texts: calls.append(len(texts)) or split(texts))
    # With a limit of 80 tokens, a text of 10 bytes may be too long.
    texts = [b"a", b"hello hell", b"a" * 90, *[b"hello h"] * 5000, b"h" * 80, b"h" * 79]
    assert count_excess(texts, tokenizer, 80) == {2: 91, 5003: 81}
    assert calls == [4]
    calls.clear()
    assert len(count_excess([b"h" * 90] * 5000, tokenizer, 80)) == 5000
    assert (sum(calls), max(calls) <= 256) == (5000, True)


@pytest.mark.slow
def test_the_limit_may_be_changed_after_a_translation():
    translator = make_translator(max_source_length=8)
    translator.translate(TEXTS[:1])
    translator.max_source_length = None
    assert translator.translate(TEXTS) == make_translator().translate(TEXTS)


def test_a_call_gives_a_long_text_no_hypothesis(translator):
    found = translator(tf.constant(TEXTS))
    assert found["target"].numpy()[1].tolist() == [b"", b""]
    assert found["scores"].numpy()[1].tolist() == [-1e9, -1e9]
    alone = tiny_translator()(tf.constant(TEXTS[::2]))
    assert found["target"].numpy()[::2].tolist() == alone["target"].numpy().tolist()
    scored = translator.score_texts(tf.constant(TEXTS), tf.constant(["HH", "HH", "HH"]))
    assert (scored["log_probs"].numpy() == -1e9).tolist() == [False, True, False]


def test_a_call_gives_a_blank_text_no_hypothesis(translator):
    texts = tf.constant(["hello", *BLANK, " a"])
    found = {name: value.numpy() for name, value in translator(texts).items()}
    assert found["target"][1:4].tolist() == [[b"", b""]] * 3
    assert found["scores"][1:4].tolist() == found["log_probs"][1:4].tolist() == [[-1e9] * 2] * 3
    alone = translator(tf.constant(["hello", " a"]))
    assert found["target"][::4].tolist() == alone["target"].numpy().tolist()
    assert (found["scores"][::4] > -1e3).all()
    scored = translator.score_texts(texts, tf.constant(["HH"] * 5))
    assert (scored["log_probs"].numpy() == -1e9).tolist() == [False, True, True, True, False]


def test_ids_without_a_token_have_no_hypothesis(translator):
    ids = tf.constant([[4, 3, 0], [3, 4, 5], [0, 0, 0], [4, 5, 3]])
    found = translator.search_ids(ids, translator.search)
    assert found["lengths"].numpy()[1:3].tolist() == [[0, 0]] * 2
    assert (found["scores"].numpy()[:, 0] == -1e9).tolist() == [False, True, True, False]
    scored = translator.score_ids(ids, tf.constant([[4, 3]] * 4))
    assert (scored["scores"].numpy() == -1e9).tolist() == [False, True, True, False]


def test_an_empty_target_has_a_probability(translator):
    found = translator.score_texts(tf.constant(["hello"]), tf.constant([""]))
    assert -1e3 < found["log_probs"].numpy()[0] < 0


def test_a_long_target_is_rejected_where_a_limit_is_given(translator):
    targets = tf.constant(["HH", "HH AA HH AA"])
    found = translator.score_texts(tf.constant(["a", "a"]), targets, max_target_length=4)
    assert (found["scores"].numpy() == -1e9).tolist() == [False, True]


@pytest.mark.parametrize("limit", [1, 0, -2, 2.5, True, "8"])
def test_a_limit_must_leave_room_for_a_token(limit):
    with pytest.raises(ValueError, match="`max_source_length` must be an integer of at least 2"):
        make_translator(max_source_length=limit)


def test_the_limit_is_stored(tmp_path):
    assert make_translator().max_source_length == 1000
    made = make_translator(max_source_length=8, truncate_source=True)
    made.save(tmp_path / "t.keras")
    loaded = s2s.load(tmp_path / "t.keras")
    assert (loaded.max_source_length, loaded.truncate_source) == (8, True)
    assert "max_source_length=8, truncate_source=True" in repr(loaded)


@pytest.fixture(scope="module")
def runtimes(translator, tmp_path_factory):
    folder = tmp_path_factory.mktemp("limits")
    names = ("serving_default", "ids", "score")
    saved = s2s.export.saved_model(translator, folder / "g", signatures=names)
    lite = write(translator, folder / "g.tflite", *names)
    return {"SavedModel": SavedModelSession(saved), "LiteRT": LiteRTSession(lite), "path": lite}


@pytest.mark.parametrize("name", ["SavedModel", "LiteRT"])
@pytest.mark.slow
def test_every_runtime_has_the_limit(runtimes, translator, name):
    source = np.array([text.encode() for text in TEXTS + BLANK], dtype=object)
    found = runtimes[name]("serving_default", {"source": source})
    expected = translator(tf.constant(TEXTS + BLANK))
    assert found["target"].tolist() == expected["target"].numpy().tolist()
    rejected = [False, True, False, True, True, True]
    assert (found["scores"] == -1e9).tolist() == [[it, it] for it in rejected]
    ids = np.full((2, 5000), 4, np.int32)
    ids[0, 2], ids[1, -1] = 3, 3
    found = runtimes[name]("ids", {"source_ids": ids})
    assert (found["lengths"][1].tolist(), found["scores"][1].tolist()) == ([0, 0], [-1e9, -1e9])
    target = np.array([b"HH " * 2000, *[b"HH"] * 5], dtype=object)
    found = runtimes[name]("score", {"source": source, "target": target})
    assert (found["scores"] == -1e9).tolist() == [True, *rejected[1:]]


@pytest.mark.slow
def test_the_runner_says_which_text_has_no_target(runtimes):
    runner = LiteRTRunner(runtimes["path"])
    assert runner.search(TEXTS)[1] == []
    message = r"at position 1 \(\d+ tokens, including eos\)\. Expected: a source of at most 8 "
    with pytest.raises(ValueError, match=message):
        runner.translate(TEXTS)


def test_the_card_tells_the_limit(translator):
    from keras_s2s.export.card_text import to_markdown
    from keras_s2s.export.model_card import make_card

    card = make_card(translator, file_format="x", signatures=[], operations=["y"], figures={})
    assert "Sources may have up to 8 tokens, including eos; longer ones get no" in to_markdown(card)
    assert json.loads(json.dumps(card))["max_source_length"] == 8


@pytest.mark.parametrize("draw", [s2s.plots.attention, s2s.plots.beam_search])
def test_a_picture_rejects_a_long_text_with_its_length_and_the_limit(translator, draw):
    message = r"`text` must have at most `max_source_length`=8 tokens.*Received: 18 tokens"
    with pytest.raises(ValueError, match=message):
        draw(translator, TEXTS[1])


def test_a_picture_draws_the_beginning_of_a_truncated_text():
    made = make_translator(max_source_length=8, truncate_source=True)
    with pytest.warns(UserWarning, match="`text` was truncated .*, 8 of 18 tokens"):
        axes = s2s.plots.attention(made, TEXTS[1]).axes[0]
    assert "".join(label.get_text() for label in axes.get_xticklabels()) == "hello␣h[EOS]"


def test_sources_that_get_no_answer_are_left_out_of_a_calibration(translator):
    pairs = [(text, "HH") for text in TEXTS]
    pairs[0] = (TEXTS[0], translator.translate(TEXTS[:1])[0])
    assert translator.calibrate(pairs).right.tolist() == [True, False]
    with pytest.raises(
        ValueError, match=r"at most `max_source_length`=8 tokens.*Received: 1 longer source"
    ):
        translator.calibrate(pairs[1:2])
