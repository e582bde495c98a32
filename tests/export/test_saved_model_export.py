from __future__ import annotations

import collections
import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from helpers.served import WORDS, shared_translator

import keras_s2s as s2s
from keras_s2s.export import saved_model_export
from keras_s2s.export.parity import Parity
from keras_s2s.export.saved_model_session import SavedModelSession, read_saved_model
from keras_s2s.export.signatures import SIGNATURES


@pytest.fixture(scope="module")
def translator():
    return shared_translator()


@pytest.fixture(scope="module")
def exported(translator, tmp_path_factory):
    folder = tmp_path_factory.mktemp("serving") / "model"
    return s2s.export.saved_model(translator, folder, probes=WORDS, figures={"WER": 30.5})


def test_the_first_version_is_number_one(exported):
    assert os.path.basename(exported) == "1"
    assert os.listdir(os.path.dirname(exported)) == ["1"]


def test_an_export_runs_on_the_cpu_even_if_there_is_a_gpu(exported, monkeypatch):
    sessions, create = [], tf.compat.v1.Session

    def watched(**options):
        sessions.append(options["config"])
        return create(**options)

    monkeypatch.setattr(tf.compat.v1, "Session", watched)
    with SavedModelSession(exported) as session:
        assert session("ids", {"source_ids": np.array([[4, 3]])})["scores"].shape == (1, 2)
    (config,) = sessions
    assert dict(config.device_count) == {"GPU": 0}


def test_the_export_has_the_documented_signatures(exported):
    (meta_graph,) = read_saved_model(exported).meta_graphs
    assert list(meta_graph.meta_info_def.tags) == ["serve"]
    found = {
        name: tuple(
            {
                key: (tf.as_dtype(info.dtype), tf.TensorShape(info.tensor_shape).rank)
                for key, info in side.items()
            }
            for side in (signature.inputs, signature.outputs)
        )
        for name, signature in meta_graph.signature_def.items()
        if name != "__saved_model_init_op"
    }
    assert found == {
        name: tuple(
            {spec.name: (spec.dtype, spec.shape.rank) for spec in side} for side in signature
        )
        for name, signature in SIGNATURES.items()
    }


def test_each_weight_is_stored_once(exported, translator):
    variables = [
        tuple(shape)
        for name, shape in tf.train.list_variables(os.path.join(exported, "variables/variables"))
        if name.startswith("variables_/")
    ]
    weights = [tuple(weight.shape) for weight in translator.model.weights]
    assert collections.Counter(variables) == collections.Counter(weights)
    stored = tf.train.list_variables(os.path.join(exported, "variables/variables"))
    assert {name.split("/")[0] for name, _ in stored} == {
        "variables_",
        "_CHECKPOINTABLE_OBJECT_GRAPH",
    }


def test_the_card_is_stored_with_the_graph(exported, translator):
    card = s2s.export.read_card(exported)
    assert set(card["signatures"]) == set(SIGNATURES)
    assert card["figures"] == {"WER": 30.5}
    assert card["parity"]["num_same_texts"] == card["parity"]["num_texts"] > len(WORDS)
    assert card["parity"]["difference"] < card["parity"]["tolerance"] == 1e-4
    assert {"While", "TFText>ByteSplitWithOffsets"} <= set(card["operations"])
    with open(os.path.join(exported, "assets.extra", "target_vocabulary.json")) as file:
        assert json.load(file) == translator.target.vocabulary


def test_the_batching_settings_are_stored_in_the_version(exported):
    with open(os.path.join(exported, "batching_params.pbtxt"), "rb") as file:
        assert file.read() == s2s.export.Batching().to_file()


def test_the_program_of_the_docstring_runs(exported, translator):
    served = tf.saved_model.load(exported).signatures["serving_default"]
    found = served(source=tf.constant(WORDS))
    expected = translator(tf.constant(WORDS))
    np.testing.assert_array_equal(found["target"], expected["target"])
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-5)


def contents(folder):
    """Read all files under a folder, with their times."""
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def versions(exported, tmp_path):
    """A folder with version 1, which must not change."""
    folder = tmp_path / "model"
    shutil.copytree(os.path.dirname(exported), folder)
    before = contents(folder)
    yield folder
    assert {path: value for path, value in contents(folder).items() if path in before} == before


@pytest.fixture
def corrupted(monkeypatch):
    """An export that writes other weights than the model's."""
    save = saved_model_export.save

    def save_other_weights(module, functions, path):
        weight = module.variables_[-1]
        kept = tf.identity(weight)
        weight.assign_add(tf.range(weight.shape[0], dtype=tf.float32) * 1e-3)
        save(module, functions, path)
        weight.assign(kept)

    monkeypatch.setattr(saved_model_export, "save", save_other_weights)


def test_an_export_with_other_answers_is_removed(translator, versions, corrupted):
    with pytest.raises(
        ValueError,
        match="The export and the model return different outputs, so the export was removed",
    ):
        s2s.export.saved_model(translator, versions)
    assert os.listdir(versions) == ["1"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("disk full"), ValueError("parity")])
@pytest.mark.parametrize(
    "moment", ["save", "check_operations", "compare_with_model", "_write_files", "publish"]
)
@pytest.mark.sampled(6)
def test_an_interrupted_export_leaves_nothing(translator, versions, monkeypatch, moment, error):
    seen = []

    def interrupt(*arguments, **options):
        seen.append(os.listdir(versions))
        raise error

    for name in ("trace", "save", "read_saved_model", "SavedModelSession"):
        monkeypatch.setattr(saved_model_export, name, Anything())
    monkeypatch.setattr(saved_model_export, "check_operations", lambda graph: [])
    parity = Parity("scores", 1e-4, 0.0, 1, 1)
    monkeypatch.setattr(saved_model_export, "compare_with_model", lambda *arguments: parity)
    monkeypatch.setattr(saved_model_export, moment, interrupt)
    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        s2s.export.saved_model(translator, versions)
    assert len(seen[0]) == 2
    assert os.listdir(versions) == ["1"]


class Anything:
    """Replacement for the slow steps in tests of folders."""

    meta_graphs = property(lambda self: [self])
    graph_def = None

    def __call__(self, *arguments, **options):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *arguments):
        return None


def test_an_existing_version_is_refused_before_tracing(translator, versions, monkeypatch):
    monkeypatch.setattr(saved_model_export, "trace", None)
    with pytest.raises(FileExistsError, match="Version 1 already exists"):
        s2s.export.saved_model(translator, versions, version=1)


def test_a_full_disk_is_reported_before_writing(translator, versions, monkeypatch):
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(9, 4, 5))
    monkeypatch.setattr(saved_model_export, "trace", Anything())
    with pytest.raises(OSError, match=r"Not enough disk space in .* Received: 5 bytes"):
        s2s.export.saved_model(translator, versions)
    assert os.listdir(versions) == ["1"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_reported(translator, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match=str(tmp_path)):
        s2s.export.saved_model(translator, tmp_path / "model")


def test_a_file_is_not_a_folder_for_versions(translator, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotADirectoryError, match="must be a folder for versions"):
        s2s.export.saved_model(translator, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("path", ["gs://bucket/model", "s3://bucket/model"])
def test_a_remote_path_is_refused(translator, path):
    with pytest.raises(ValueError, match=f"must be a local folder.*'{path}'"):
        s2s.export.saved_model(translator, path)


def test_a_version_is_not_a_folder_for_versions(translator, tmp_path):
    with pytest.raises(ValueError, match="must be the folder of the versions, not a version"):
        s2s.export.saved_model(translator, tmp_path / "2")
    assert os.listdir(tmp_path) == []


def test_only_a_translator_can_be_exported(tmp_path):
    with pytest.raises(TypeError, match=r"Only a `Translator` .* can be exported"):
        s2s.export.saved_model("g2p.keras", tmp_path)


def test_probes_must_be_texts(translator, tmp_path):
    with pytest.raises(TypeError, match="`probes` must be a list of str"):
        s2s.export.saved_model(translator, tmp_path, probes="hello")


def test_server_settings_must_have_the_right_type(translator, tmp_path):
    with pytest.raises(TypeError, match="`warmup` must be a `Warmup`"):
        s2s.export.saved_model(translator, tmp_path / "model", warmup=[1, 8])
    with pytest.raises(TypeError, match="`batching` must be a `Batching`"):
        s2s.export.saved_model(translator, tmp_path / "model", batching={"max_batch_size": 8})
    assert os.listdir(tmp_path) == []


def test_figures_must_be_numbers(translator, tmp_path):
    with pytest.raises(TypeError, match="`figures` must be a dict"):
        s2s.export.saved_model(translator, tmp_path, figures={"WER": "low"})
