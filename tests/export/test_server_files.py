from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest
import tensorflow as tf
import yaml
from helpers.served_messages import read_message

from keras_s2s.export import Batching, serving_files
from keras_s2s.export.server_files import check_batching, fill_template

METRICS = "/monitoring/prometheus/metrics"


@pytest.fixture
def base_path(tmp_path):
    """A folder with versions 1 and 2 and another entry."""
    for name in ("1", "2", ".unfinished"):
        (tmp_path / "serving" / "g2p" / name).mkdir(parents=True)
    return tmp_path / "serving" / "g2p"


@pytest.fixture
def deploy(base_path, tmp_path):
    serving_files(base_path, tmp_path / "deploy", cpus=4, memory="512Mi", replicas=(3, 5))
    return tmp_path / "deploy"


def read_models(path):
    """Read `models.config` as a server does, and return its only model."""
    model_server_config_pb2 = pytest.importorskip(
        "tensorflow_serving.config.model_server_config_pb2"
    )
    from google.protobuf import text_format

    config = text_format.Parse(path.read_text(), model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    return model


def read_kubernetes(deploy):
    return {
        part["kind"]: part for part in yaml.safe_load_all((deploy / "kubernetes.yaml").read_text())
    }


def container(deploy):
    (found,) = read_kubernetes(deploy)["Deployment"]["spec"]["template"]["spec"]["containers"]
    return found


def test_every_template_is_written_or_belongs_to_a_version(deploy, base_path, tmp_path):
    found = set(os.listdir(deploy))
    files = set(os.listdir(os.path.join(os.path.dirname(__file__), "../../export/serving")))
    templates = files - {"__init__.py", "__pycache__"}
    assert found | {"batching_params.pbtxt"} == templates
    for path in deploy.iterdir():
        assert "${" not in path.read_text()
    written = serving_files(base_path, tmp_path / "again")
    assert sorted(written) == sorted(str(tmp_path / "again" / name) for name in found)


def test_models_config_serves_the_newest_version(deploy):
    model = read_models(deploy / "models.config")
    assert (model.name, model.base_path, model.model_platform) == (
        "g2p",
        "/models/g2p",
        "tensorflow",
    )
    assert model.model_version_policy.latest.num_versions == 1


def test_models_config_serves_the_requested_versions(base_path, tmp_path):
    serving_files(base_path, tmp_path / "deploy", versions=[2, 1, 2])
    model = read_models(tmp_path / "deploy" / "models.config")
    assert list(model.model_version_policy.specific.versions) == [1, 2]


def test_a_long_source_does_not_occupy_all_threads(deploy):
    found = read_message("BatchingParameters", (deploy / "batching.config").read_text())
    assert found.num_batch_threads.value == 16  # on 4 cores
    # the rest is the model's own, and a server would ignore it here
    assert not found.HasField("max_batch_size")
    own = read_message("BatchingParameters", Batching().to_file())
    assert not own.HasField("num_batch_threads")


def test_prometheus_scrapes_the_port_of_the_server(deploy):
    monitoring = read_message("MonitoringConfig", (deploy / "monitoring.config").read_text())
    assert monitoring.prometheus_config.enable
    assert monitoring.prometheus_config.path == METRICS
    (job,) = yaml.safe_load((deploy / "prometheus.yaml").read_text())["scrape_configs"]
    assert job["metrics_path"] == METRICS
    assert job["static_configs"] == [{"targets": ["g2p:8501"]}]
    template = read_kubernetes(deploy)["Deployment"]["spec"]["template"]
    assert template["metadata"]["annotations"] == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "8501",
        "prometheus.io/path": METRICS,
    }


def test_a_container_finds_the_model_and_the_settings(deploy, base_path):
    services = yaml.safe_load((deploy / "compose.yaml").read_text())["services"]
    assert list(services) == ["g2p", "prometheus"]
    server = services["g2p"]
    assert server["image"] == f"tensorflow/serving:{re.match('[0-9]+.[0-9]+', tf.__version__)[0]}.0"
    mounted = {volume["target"]: volume["source"] for volume in server["volumes"]}
    assert (deploy / mounted["/models/g2p"]).resolve() == base_path
    assert (deploy / mounted["/config"]).resolve() == deploy
    assert all(volume["read_only"] for volume in server["volumes"])
    assert server["ports"] == ["8500:8500", "8501:8501"]
    assert server["cpus"] == 4
    assert server["mem_limit"] == "512m"


@pytest.mark.parametrize("runner", ["compose", "kubernetes"])
def test_the_files_that_a_server_reads_exist(deploy, runner):
    if runner == "compose":
        command = yaml.safe_load((deploy / "compose.yaml").read_text())["services"]["g2p"][
            "command"
        ]
        there = os.listdir(deploy)
    else:
        command = container(deploy)["args"]
        kustomization = yaml.safe_load((deploy / "kustomization.yaml").read_text())
        (generator,) = kustomization["configMapGenerator"]
        there = generator["files"]
        assert set(there) < set(os.listdir(deploy))
        assert kustomization["resources"] == ["kubernetes.yaml"]
    options = dict(option.removeprefix("--").split("=") for option in command)
    files = {name: value for name, value in options.items() if name.endswith("_file")}
    assert files == {
        "model_config_file": "/config/models.config",
        "batching_parameters_file": "/config/batching.config",
        "monitoring_config_file": "/config/monitoring.config",
    }
    assert {os.path.basename(file) for file in files.values()} <= set(there)
    assert options["enable_batching"] == options["enable_per_model_batching_parameters"] == "true"
    assert options["tensorflow_inter_op_parallelism"] == "16"  # as many as batches at once


def test_the_kubernetes_objects_refer_to_each_other(deploy):
    parts = read_kubernetes(deploy)
    assert set(parts) == {"Deployment", "Service", "HorizontalPodAutoscaler"}
    assert {part["metadata"]["name"] for part in parts.values()} == {"g2p"}
    spec = parts["Deployment"]["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert parts["Service"]["spec"]["selector"] == spec["selector"]["matchLabels"] == labels
    server = container(deploy)
    ports = {port["name"]: port["containerPort"] for port in server["ports"]}
    assert ports == {"grpc": 8500, "rest": 8501}
    for port in parts["Service"]["spec"]["ports"]:
        assert ports[port["targetPort"]] == port["port"]
    volumes = {volume["name"] for volume in spec["template"]["spec"]["volumes"]}
    assert {mount["name"] for mount in server["volumeMounts"]} == volumes
    mounts = {mount["name"]: mount["mountPath"] for mount in server["volumeMounts"]}
    assert mounts == {"models": "/models/g2p", "config": "/config"}
    assert server["resources"] == {
        "requests": {"cpu": "4", "memory": "512Mi"},
        "limits": {"memory": "512Mi"},
    }


def test_a_pod_is_ready_when_its_model_is_loaded(deploy):
    server = container(deploy)
    for probe in ("startupProbe", "readinessProbe"):
        assert server[probe]["httpGet"] == {"path": "/v1/models/g2p", "port": "rest"}
    assert server["livenessProbe"]["tcpSocket"] == {"port": "grpc"}


def test_the_number_of_servers_follows_the_load(deploy):
    scaler = read_kubernetes(deploy)["HorizontalPodAutoscaler"]["spec"]
    target = scaler["scaleTargetRef"]
    assert target == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "g2p"}
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (3, 5)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on the PATH")
def test_kubectl_accepts_the_files(deploy):
    answer = subprocess.run(
        ["kubectl", "kustomize", deploy], capture_output=True, text=True, check=False, timeout=60
    )
    assert answer.returncode == 0, answer.stderr
    parts = {part["kind"]: part for part in yaml.safe_load_all(answer.stdout)}
    volumes = parts["Deployment"]["spec"]["template"]["spec"]["volumes"]
    (config,) = [part["configMap"]["name"] for part in volumes if "configMap" in part]
    assert config == parts["ConfigMap"]["metadata"]["name"]
    assert config.startswith("g2p-config-")
    assert parts["ConfigMap"]["data"]["models.config"] == (deploy / "models.config").read_text()


def test_unusual_paths_and_images_are_quoted(base_path, tmp_path):
    odd = tmp_path / 'my "new" $models: é'
    shutil.move(base_path, odd)
    serving_files(odd, tmp_path, name="g2p", image="registry.example/serving:1")
    server = yaml.safe_load((tmp_path / "compose.yaml").read_text())["services"]["g2p"]
    assert server["volumes"][0]["source"] == './my "new" $$models: é'
    assert server["image"] == "registry.example/serving:1"
    assert container(tmp_path)["image"] == "registry.example/serving:1"


def test_a_folder_without_versions_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="must be a folder that contains versions"):
        serving_files(tmp_path / "g2p", tmp_path / "deploy")
    assert os.listdir(tmp_path) == []


def test_the_folder_that_is_probably_meant_is_named(base_path, tmp_path):
    meant = re.escape(f"Did you mean {os.fspath(base_path)!r}")
    (base_path / "1" / "saved_model.pb").touch()
    for path in (base_path.parent, base_path / "1"):
        with pytest.raises(FileNotFoundError, match=f"contains versions.*{meant}"):
            serving_files(path, tmp_path / "deploy")


def test_a_version_that_does_not_exist_is_refused(base_path, tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match=r"Received: a folder with the versions \[1, 2\], and versions=\[3\]",
    ):
        serving_files(base_path, tmp_path / "deploy", versions=[3])


def test_existing_files_are_replaced_only_with_overwrite(base_path, deploy):
    (deploy / "models.config").write_text("mine")
    with pytest.raises(FileExistsError, match=r"'models\.config' already exists"):
        serving_files(base_path, deploy)
    assert (deploy / "models.config").read_text() == "mine"
    serving_files(base_path, deploy, versions=[1], overwrite=True)
    assert "specific { versions: 1 }" in (deploy / "models.config").read_text()


def test_a_failure_leaves_the_old_files(base_path, deploy, monkeypatch):
    before = {path: path.read_bytes() for path in deploy.iterdir()}
    monkeypatch.setattr(os, "replace", None)
    with pytest.raises(TypeError, match="not callable"):
        serving_files(base_path, deploy, versions=[1], overwrite=True)
    assert {path: path.read_bytes() for path in deploy.iterdir()} == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "G2P"}, "`name` must start with a letter"),
        ({"name": "g" * 64}, "`name` must start with a letter"),
        ({"cpus": 0}, "`cpus` must be a positive integer"),
        ({"memory": "1 GB"}, r"`memory` must be as in '512Mi' or '1Gi'. Received: memory='1 GB'"),
        ({"replicas": (0, 2)}, "`replicas` must be a positive integer"),
        (
            {"replicas": (3, 2)},
            r"the minimum and the maximum number of servers. Received: replicas=\(3, 2\)",
        ),
        ({"overwrite": "no"}, "`overwrite` must be True or False. Received: overwrite='no'"),
        ({"replicas": (3,)}, "the minimum and the maximum number of servers"),
    ],
)
def test_names_and_numbers_are_validated(base_path, tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        serving_files(base_path, tmp_path / "deploy", **settings)
    assert not (tmp_path / "deploy").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"replicas": 3}, r"`replicas` must be two integers, such as \(2, 8\). Received: rep.*=3"),
        ({"replicas": ("2", "8")}, "`replicas` must be two integers"),
        ({"versions": 1}, "`versions` must be a list of integers. Received: versions=1"),
        ({"versions": ["1"]}, r"`versions` must be a list of integers. Received: versions=\['1'\]"),
        ({"versions": "12"}, "`versions` must be a list of integers. Received: versions='12'"),
    ],
)
def test_the_types_of_numbers_are_validated(base_path, tmp_path, settings, message):
    with pytest.raises(TypeError, match=message):
        serving_files(base_path, tmp_path / "deploy", **settings)
    assert not (tmp_path / "deploy").exists()


def test_batching_settings_are_read_by_a_server():
    batching = Batching(max_batch_size=8, batch_timeout_micros=0, max_enqueued_batches=3)
    found = read_message("BatchingParameters", batching.to_file())
    assert found.max_batch_size.value == 8
    assert found.batch_timeout_micros.value == 0
    assert found.HasField("batch_timeout_micros")
    assert found.max_enqueued_batches.value == 3


def test_ids_of_different_lengths_may_be_merged():
    found = read_message("BatchingParameters", Batching().to_file())
    assert found.pad_variable_length_inputs
    # `target_ids` of the parts of a request could have different lengths
    assert not found.enable_large_batch_splitting.value
    assert not found.allowed_batch_sizes


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_batch_size", 0), ("batch_timeout_micros", -1), ("max_enqueued_batches", 0.5)],
)
def test_batching_numbers_are_validated(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be .*Received: {name}={value}"):
        Batching(**{name: value})


def test_batching_of_another_type_is_refused():
    with pytest.raises(TypeError, match=r"`batching` must be a `Batching`. Received: batching=64"):
        check_batching(64)


def test_a_name_without_a_value_in_a_template_is_an_error():
    with pytest.raises(KeyError, match="max_batch_size"):
        fill_template("batching_params.pbtxt", batch_timeout_micros=1, max_enqueued_batches=1)
