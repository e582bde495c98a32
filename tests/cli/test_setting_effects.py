"""Each setting of `keras-s2s train` changes what it is about in a training, and nothing else."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import keras
import pytest
import tensorflow as tf

import keras_s2s
from keras_s2s.callbacks.epoch_metrics import KeepBest
from keras_s2s.cli import run_folder, training
from keras_s2s.cli.report import make_report
from keras_s2s.cli.setting import option_name
from keras_s2s.cli.setting_table import SETTINGS

LONG = 1100 * "c"  # a model accepts 1000 tokens, or as many as a training source has
TRAIN = [("ab", "b a"), ("ba", "a b"), (LONG, "a b c")]
VALID = [("ab", "b a"), ("ab", "b"), ("bc", "c b")]
# The settings from which the others are changed, one at a time.
BASE = {
    "source_tokenizer": "char",
    "target_tokenizer": "word",
    "units": 2,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "attention": "luong",
    "copy": False,
    "dropout": 0.0,
    "epochs": 3,
    "patience": 2,
    "batch_size": 2,
    "learning_rate": 0.5,
    "schedule": "plateau",
    "warmup_steps": 7,
    "label_smoothing": 0.0,
    "threads": 4,
}
# Another value of each setting, and all that it changes in the training.
EFFECTS = {
    "stream": (True, {"data.streamed": True}),
    "source_tokenizer": (
        "byte",
        {"source": "ByteTokenizer", "encoder.vocabulary_size": 260},
    ),
    "target_tokenizer": (
        "char",
        {
            "target": "CharTokenizer",
            "decoder.vocabulary_size": 8,  # with a space
            **dict.fromkeys(["evaluation.tokens", "lines.tokens", "report.tokens"], "characters"),
            "search.max_length": 8,  # 1.2 times 5 characters and eos
        },
    ),
    "source_vocabulary_size": (6, {"encoder.vocabulary_size": 6}),
    "target_vocabulary_size": (6, {"decoder.vocabulary_size": 6}),
    "max_source_length": (
        1050,
        {"batches.max_source_length": 1050, "translator.max_source_length": 1050},
    ),
    "max_target_length": (3, {"batches.max_target_length": 3}),
    "cell": ("gru", {"encoder": "GRUEncoder", "decoder": "GRUDecoder"}),
    "units": (
        3,
        {
            "encoder.units": 3,
            "encoder.embedding_dim": 3,
            "decoder.units": 3,
            "decoder.embedding_dim": 3,
        },
    ),
    "embedding_dim": (3, {"encoder.embedding_dim": 3, "decoder.embedding_dim": 3}),
    "encoder_layers": (2, {"encoder.num_layers": 2}),
    "decoder_layers": (2, {"decoder.num_layers": 2}),
    "bidirectional": (False, {"encoder.bidirectional": False}),
    "context": ("mean", {"encoder.context": "mean"}),
    "context_to": ("every_step", {"decoder.context_to": "every_step"}),
    "attention": ("bahdanau", {"decoder.attention": "bahdanau"}),
    "copy": (
        True,
        {
            "decoder.copy": True,
            "copy_ids": [-1, 1, -1, 3, 6, 4, 5],
            "translator.replace_unknown": True,
            "evaluation.replace_unknown": True,
        },
    ),
    "input_feeding": (True, {"decoder.input_feeding": True}),
    "residual": (True, {"encoder.residual": True, "decoder.residual": True}),
    "layer_normalization": (
        True,
        {"encoder.layer_normalization": True, "decoder.layer_normalization": True},
    ),
    "dropout": (0.2, {"encoder.dropout": 0.2, "decoder.dropout": 0.2}),
    "recurrent_dropout": (
        0.2,
        {"encoder.recurrent_dropout": 0.2, "decoder.recurrent_dropout": 0.2},
    ),
    "word_dropout": (0.2, {"encoder.word_dropout": 0.2, "decoder.word_dropout": 0.2}),
    "models": (2, {"fits": 2, "seeds": [0, 0, 1], "batches.seed": 1}),
    "epochs": (4, {"fit.epochs": 4, "pace.epochs": 4}),
    "minutes": (5.0, {"pace.minutes": 5.0}),
    "patience": (3, {"early.patience": 3}),
    "watch": (
        "chrf",
        {
            "keep.watch": "chrf",
            "early.watch": "chrf",
            "plateau.monitor": "val_chrf",
            "plateau.mode": "max",
            "evaluation.metrics": ("wer", "ter", "chrf"),
            "report.metrics": ["wer", "ter", "chrf"],
        },
    ),
    "batch_size": (3, {"batches.batch_size": 3, "pace._estimated_steps": 1}),
    "batch_tokens": (2000, {"batches.batch_tokens": 2000, "batches.batch_size": None}),
    "learning_rate": (0.25, {"optimizer.learning_rate": 0.25, "pace.learning_rate": 0.25}),
    "schedule": (
        "linear",
        {"pace.schedule": "linear", "plateau.monitor": None, "plateau.mode": None},
    ),
    "warmup_steps": (9, {"pace.warmup_steps": 9, "early.warmup_steps": 9}),
    "gradient_clip": (1.5, {"optimizer.global_clipnorm": 1.5}),
    "label_smoothing": (0.1, {"loss.label_smoothing": 0.1}),
    "reduction": ("sequence", {"loss.reduction": "sequence"}),
    "precision": ("mixed_bfloat16", {"precision": ["mixed_bfloat16"]}),
    "seed": (5, {"seeds": [5, 5], "batches.seed": 5}),
    "save_every": (9, {"resume.every": 9}),
    "threads": (12, {"threads": [6, 2]}),  # two products in parallel
    "beam_width": (3, {"search.beam_width": 3}),
    "length_penalty": (0.1, {"search.length_penalty": 0.1}),
    "stopping": ("length", {"search.stopping": "length"}),
    "max_length": (9, {"search.max_length": 9}),
    "tokens": (
        "phones",
        dict.fromkeys(["evaluation.tokens", "lines.tokens", "report.tokens"], "phones"),
    ),
    "bleu_tokenize": (
        "none",
        {"evaluation.bleu_tokenize": "none", "report.bleu_tokenize": "none"},
    ),
    "evaluation_sources": (1, {"evaluation.sources": ["ab"]}),
    "confidence": (True, {"calibrated": [VALID]}),
    "samples": (1, {"samples": 1}),
}
# Settings that have tests of their own: files, other models, and modules.
ELSEWHERE = {"train", "valid", "features_column", "output", "import", "init_from", "teacher"}


def test_every_setting_has_an_entry():
    assert EFFECTS.keys() | ELSEWHERE == SETTINGS.keys()
    assert not EFFECTS.keys() & ELSEWHERE


def _options(settings):
    for name, value in settings.items():
        if isinstance(value, bool):
            yield option_name(name if value else f"no_{name}")
        else:
            yield from (option_name(name), value)


def _some(part, *names):
    return {name: getattr(part, name, None) for name in names}


def _read_training(translator, options):
    """Return what a call of `fit` trains, as names and values."""
    model, listed = translator.model, options["callbacks"]
    of = {type(it).__name__: it for it in listed}
    evaluation, plateau = of["SearchEvaluation"], of.get("ReduceLROnPlateau")
    assert evaluation.search == translator.search
    parts = {
        "encoder": model.encoder.get_config(),
        "decoder": model.decoder.get_config(),
        "loss": model.loss.get_config(),
        "optimizer": model.optimizer.get_config(),
        "search": dataclasses.asdict(translator.search),
        "translator": _some(translator, "max_source_length", "replace_unknown"),
        "evaluation": _some(evaluation, "metrics", "tokens", "bleu_tokenize", "replace_unknown"),
        "keep": _some(of["KeepBest"], "watch"),
        "early": _some(of["StopEarly"], "patience", "warmup_steps", "watch"),
        "lines": _some(of["EpochLines"], "tokens"),
        "pace": vars(of["Pace"]),
        "plateau": _some(plateau, "monitor", "mode"),
        "resume": _some(of["Resume"], "every"),
        "fit": _some(SimpleNamespace(**options), "epochs"),
    }
    for part in ("encoder", "decoder", "optimizer"):
        parts[part].pop("name")
    values = {
        f"{part}.{key}": value for part, found in parts.items() for key, value in found.items()
    }
    return values | {
        "encoder": type(model.encoder).__name__,
        "decoder": type(model.decoder).__name__,
        "source": type(translator.source).__name__,
        "target": type(translator.target).__name__,
        "copy_ids": model.copy_ids,
        "evaluation.sources": list(evaluation.references),
    }


@pytest.fixture
def trained(run, tmp_path, monkeypatch):
    """A function that runs `train` without training, and returns what would have been trained."""
    for name, pairs in {"train": TRAIN, "valid": VALID}.items():
        lines = "".join(f"{source}\t{target}\n" for source, target in pairs)
        (tmp_path / f"{name}.tsv").write_text(lines, "utf-8")
    files = [f"--train={tmp_path / 'train.tsv'}", f"--valid={tmp_path / 'valid.tsv'}"]

    def train(folder, **settings):
        seen = {"seeds": [], "threads": [], "precision": [], "calibrated": [], "fits": 0}

        def make_dataset(pairs, source, target, **options):
            if pairs != VALID:
                seen["data.streamed"] = isinstance(pairs[0], str)
                seen.update({f"batches.{name}": value for name, value in options.items()})
            return SimpleNamespace(pairs=pairs)

        def fit(model, batches, **options):
            (keep,) = (it for it in options["callbacks"] if isinstance(it, KeepBest))
            assert keep.translator.model is model
            assert options["validation_data"].pairs == VALID
            seen.update(_read_training(keep.translator, options), fits=seen["fits"] + 1)
            return SimpleNamespace(history={})

        def report(outputs, references, **options):
            seen.update({f"report.{name}": value for name, value in options.items()})
            return make_report(outputs, references, **options, bootstrap=2)

        best = SimpleNamespace(translate=lambda texts, **options: list(texts), translator=None)
        ensemble = SimpleNamespace(save=lambda path: None)
        for place, name, value in (
            (keras_s2s, "make_dataset", make_dataset),
            (keras_s2s, "ensemble_checkpoints", lambda paths: ensemble),
            (keras_s2s.Seq2Seq, "fit", fit),
            (keras.utils, "set_random_seed", seen["seeds"].append),
            (keras.config, "set_dtype_policy", seen["precision"].append),
            (tf.config.threading, "set_intra_op_parallelism_threads", seen["threads"].append),
            (tf.config.threading, "set_inter_op_parallelism_threads", seen["threads"].append),
            (training, "load_keras_model", lambda path: best),
            (training, "make_report", report),
            (training, "calibrate", lambda _, model, pairs: seen["calibrated"].append(pairs)),
            (run_folder, "write_samples", lambda path, rows: seen.update(samples=len(rows))),
        ):
            monkeypatch.setattr(place, name, value)
        options = _options({**BASE, **settings})
        code, _, errors = run("train", *files, "--output", tmp_path / folder, *options)
        assert code == 0, errors
        return seen

    return train


@pytest.fixture(scope="module")
def before():
    """What is trained with the base settings, found by the first test."""
    return {}


@pytest.mark.parametrize("name", EFFECTS)
def test_a_setting_changes_what_it_is_about(name, trained, before):
    value, effects = EFFECTS[name]
    if not before:
        before.update(trained("before"))
    after = trained("after", **{name: value})
    names = before.keys() | after.keys()
    changed = {it: after.get(it) for it in names if before.get(it) != after.get(it)}
    assert changed == effects
