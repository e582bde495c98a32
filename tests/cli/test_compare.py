"""`keras-s2s compare`: the changes from one version to the next."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

import keras_s2s as s2s
from keras_s2s.cli.compare import Answer, compare_models

TOO_LONG = "a" * 1000  # with eos 1001 tokens
TEXTS = ["abcd", "ü€", "a", "cabad", "", "bb", TOO_LONG]


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("\n".join(TEXTS), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def changed(translator, tmp_path_factory):
    """The same model with another bias."""
    path = tmp_path_factory.mktemp("changed") / "changed.keras"
    bias = translator.model.decoder.logits.bias
    kept = bias.numpy()
    bias.assign(kept[::-1] * 3)
    translator.save(path)
    bias.assign(kept)
    return path


@pytest.mark.slow
def test_a_model_has_no_differences_from_itself(run, model, texts):
    arguments = ("--max-changed", 0, "--max-score-difference", 1e-6)
    code, output, _ = run("compare", model, model, texts, *arguments)
    assert code == 0
    assert output.startswith("Changed: 0 of 6 outputs (0.00%)\n")


def test_changes_are_listed_and_have_their_own_exit_code(run, model, changed, texts):
    code, output, errors = run("compare", model, changed, texts, "--most", 2, "--json")
    found = json.loads(output)
    assert code == 0
    assert found["share_changed"] == len(found["changes"]) / 6 > 0.5
    assert found["num_unanswered"] == [1, 1]
    first, second = errors.splitlines()
    assert first.startswith(
        f"keras-s2s: warning: no output for 1 of 6 sources by {model}. The "
        "first: the source has 1001 tokens, including eos"
    )
    assert second.startswith(first.partition(str(model))[0] + str(changed))
    code, output, errors = run("compare", model, changed, texts, "--most", 1, "--max-changed", 0.1)
    assert code == 1
    share = f"{found['share_changed']:.2%}"
    assert errors.splitlines()[-1] == (
        f"keras-s2s compare: the share of changed outputs is {share}. Allowed: at most 10.00%"
    )
    summary, _, unanswered, first, more = output.splitlines()
    assert unanswered.endswith(": 1 before, 1 after")
    assert summary.startswith(f"Changed: {len(found['changes'])} of 6 outputs")
    change = found["changes"][0]
    expected = [change["source"], change["before"]["target"], change["after"]["target"]]
    assert first.split("\t") == expected
    assert more == f"And {len(found['changes']) - 1} more changes"


@pytest.mark.parametrize(("allowed", "code"), [(2.5, 1), (3.5, 0)])
def test_scores_that_moved_too_far_have_their_own_exit_code(
    run, model, texts, monkeypatch, allowed, code
):
    scores = iter([-1.0, -4.0])

    def load_model(path, **options):
        score = next(scores)
        best = [SimpleNamespace(text="one", score=-1.0), SimpleNamespace(text="two", score=score)]
        return SimpleNamespace(columns=lambda: "text", best=lambda *given: best)

    monkeypatch.setattr("keras_s2s.cli.compare.load_model", load_model)
    texts.write_text("a\nb\n", "utf-8")
    ended, output, errors = run("compare", model, model, texts, "--max-score-difference", allowed)
    assert ended == code
    assert "differ by 1.5 on average, by at most 3" in output
    message = "keras-s2s compare: the score difference is 3. Allowed: at most 2.5\n"
    assert errors == (message if code else "")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n \n", "no lines. Expected"),
        (b"\xff", "not UTF-8"),
        (
            b"ab\nab\tone\n",
            "words.txt, line 2: a tab at character 3. Expected: one source per line",
        ),
    ],
)
def test_a_file_without_texts_is_an_error(run, model, tmp_path, content, message):
    (tmp_path / "words.txt").write_bytes(content)
    code, _, errors = run("compare", model, model, tmp_path / "words.txt")
    assert code == 2
    assert message in errors


@pytest.mark.slow
def test_a_source_that_only_one_model_answers_is_a_change(run, model, translator, tmp_path):
    limited = s2s.Translator(
        translator.model,
        translator.source,
        translator.target,
        search=translator.search,
        max_source_length=3,  # including eos
    )
    limited.save(tmp_path / "limited.keras")
    (tmp_path / "words.txt").write_text("bcdab\n")
    files = (model, tmp_path / "limited.keras", tmp_path / "words.txt")
    _, output, _ = run("compare", *files)
    assert output.splitlines()[1] == "All outputs changed, so there are no scores to compare"
    (tmp_path / "words.txt").write_text("a\nbcdab\n")
    code, output, _ = run("compare", *files, "--max-changed", 0.5)
    assert code == 0
    summary, scores, unanswered, change = output.splitlines()
    assert summary == "Changed: 1 of 2 outputs (50.00%)"
    assert scores.endswith("at most 0")
    assert unanswered.endswith("too long: 0 before, 1 after")
    assert change.startswith("bcdab\t")
    assert change.endswith("\t")


def test_sources_come_from_pairs_with_features(run, model, tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("ab\tV;PST\tabed\ncd\tV;PST\tcded\n", "utf-8")
    code, output, _ = run("compare", model, model, path, "--features-column", 2)
    assert (code, output.splitlines()[0]) == (0, "Changed: 0 of 2 outputs (0.00%)")
    code, _, errors = run(
        "compare", model, model, path, "--features-column", 2, "--columns", "text"
    )
    assert code == 2
    assert "--columns and --features-column cannot be used together" in errors


def test_texts_that_neither_model_answers_have_no_score():
    none, empty = Answer("", None), Answer("", -0.5)
    found = compare_models(["a", "b", "c"], [none, none, empty], [none, empty, Answer("", -1.0)])
    assert [change.source for change in found.changes] == ["b"]
    assert found.num_unanswered == (2, 1)
    assert found.mean_score_difference == 0.5


def test_the_largest_changes_come_first():
    before = [Answer("A", -1.0), Answer("A", -1.0), Answer("A", -1.0), Answer("B", -1.0)]
    after = [Answer("A", -1.5), Answer("A", -4.0), Answer("C", -2.0), Answer("D", -9.0)]
    found = compare_models(list("abcd"), before, after)
    assert (found.mean_score_difference, found.max_score_difference) == (1.75, 3.0)
    assert [change.source for change in found.changes] == ["d", "c"]


def test_each_text_needs_two_answers():
    with pytest.raises(ValueError, match="Received: 1 text, 1 outputs before and 0 after"):
        compare_models(["a"], [Answer("A", 0.0)], [])
