"""The clients in examples/ work with a fake server and, if one is installed, a real server."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from helpers.fake_model_server import Model, grpc_server, rest_server
from helpers.served import WORDS, shared_translator

from keras_s2s.export import Batching, Warmup
from keras_s2s.export.served_module import ServedModule, save, trace
from keras_s2s.export.signatures import SIGNATURES
from keras_s2s.export.warmup import make_requests, write_requests

EXAMPLES = Path(__file__).parents[2] / "examples" / "serving"
SERVER = shutil.which("tensorflow_model_server")


def load_client(name):
    if name == "grpc":
        pytest.importorskip("tensorflow_serving.apis")
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}_client.py")
    client = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(client)
    return client


@pytest.fixture(scope="module")
def translator():
    return shared_translator()


@pytest.fixture(scope="module")
def expected(translator):
    return {name: value.numpy() for name, value in translator(tf.constant(WORDS)).items()}


@pytest.fixture(scope="module")
def version(translator, tmp_path_factory):
    """The folder of a version, exported without the checks that other tests cover."""
    folder = tmp_path_factory.mktemp("serving") / "g2p" / "1"
    save(ServedModule(translator), trace(translator, SIGNATURES), str(folder))
    return folder


@pytest.fixture(scope="module")
def addresses(version):
    """Addresses of a fake server for the model "g2p"."""
    model = Model("g2p", str(version))
    with contextlib.ExitStack() as servers:
        found = {"rest": servers.enter_context(rest_server(model))}
        if importlib.util.find_spec("tensorflow_serving"):
            found["grpc"] = servers.enter_context(grpc_server(model))
        yield found


@pytest.mark.parametrize("kind", ["rest", "grpc"])
@pytest.mark.parametrize("version_asked", [None, 1])
def test_a_client_returns_the_answers_of_the_model(addresses, expected, kind, version_asked):
    check_client(load_client(kind), addresses[kind], expected, version_asked)


def check_client(client, address, expected, version_asked=None):
    answer = client.ask(
        address, "g2p", {"source": WORDS}, signature="serving_default", version=version_asked
    )
    assert set(answer) == set(expected)
    targets = [
        [getattr(text, "encode", lambda text=text: text)() for text in row]
        for row in answer["target"]
    ]
    assert targets == expected["target"].tolist()
    np.testing.assert_allclose(answer["scores"], expected["scores"], atol=1e-5)


@pytest.mark.parametrize("kind", ["rest", "grpc"])
def test_a_client_prints_the_best_answers(addresses, translator, kind, capsys):
    load_client(kind).main(
        ["g2p", "hello", "日本", "--server", addresses[kind], "--signature", "greedy"]
    )
    lines = capsys.readouterr().out.splitlines()
    found = translator.search_texts(tf.constant(["hello", "日本"]), translator.greedy_search())
    for line, text, target, score in zip(
        lines, ["hello", "日本"], found["target"].numpy(), found["scores"].numpy(), strict=True
    ):
        assert line.split() == [text, *target[0].decode().split(), f"{score[0]:.3f}"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["g2q"], "404: .*Servable not found"),
        (["g2p", "--version", "2"], "404: .*Servable not found"),
        (["g2p", "--signature", "score"], "400: .*input must be"),
    ],
)
def test_the_rest_client_reports_a_refused_request(addresses, arguments, message):
    with pytest.raises(SystemExit, match=message):
        load_client("rest").main([arguments[0], "a", *arguments[1:], "--server", addresses["rest"]])


def test_the_grpc_client_reports_a_refused_request(addresses):
    client = load_client("grpc")
    with pytest.raises(SystemExit, match=r"NOT_FOUND: .*Servable not found"):
        client.main(["g2q", "a", "--server", addresses["grpc"]])


@pytest.mark.parametrize("kind", ["rest", "grpc"])
def test_a_client_reports_a_missing_server_in_one_line(kind):
    address = f"127.0.0.1:{_free_port()}"
    server = address if kind == "grpc" else f"http://{address}"
    with pytest.raises(SystemExit, match=f"{address}: .*[Cc]onnect.* refused") as raised:
        load_client(kind).main(["g2p", "a", "--server", server])
    assert "\n" not in raised.value.code


def run_script(name, *arguments):
    """Run a script that calls an export without a server."""
    command = [sys.executable, EXAMPLES.parent / name, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_script_runs_a_saved_model(version, expected):
    done = run_script("run_saved_model.py", version, *WORDS)
    assert done.returncode == 0, done.stderr
    for target, score in zip(expected["target"], expected["scores"], strict=True):
        assert f" {target[0].decode():40s} {score[0]:.3f}\n" in done.stdout


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (
            "run_saved_model.py",
            ["{folder}", "a"],
            "Expected the folder of a version, such as {folder}/1",
        ),
        ("run_litert.py", ["{folder}/g2p.tflite", "a"], "there is no file {folder}/g2p.tflite"),
        ("run_litert.py", [], "the following arguments are required: file, text"),
    ],
)
def test_a_script_explains_what_it_expects(version, name, arguments, message):
    folder = version.parent
    done = run_script(name, *(argument.format(folder=folder) for argument in arguments))
    assert done.returncode == 2
    assert message.format(folder=folder) in done.stderr
    assert "Traceback" not in done.stderr


def test_the_row_format_of_the_page_is_answered(addresses, expected):
    """The request in row format of docs/how-to/tf-serving.md."""
    body = json.dumps({"instances": [{"source": text} for text in WORDS]}).encode()
    url = f"{addresses['rest']}/v1/models/g2p:predict"
    found = fetch(url, body)["predictions"]
    assert [row["target"][0].encode() for row in found] == expected["target"][:, 0].tolist()


def test_the_readiness_probe_is_answered(addresses):
    (status,) = fetch(f"{addresses['rest']}/v1/models/g2p")["model_version_status"]
    assert status["state"] == "AVAILABLE"


@pytest.mark.parametrize("kind", ["rest", "grpc"])
def test_the_steps_of_a_client_are_numbered_and_name_its_file(kind):
    text = (EXAMPLES / f"{kind}_client.py").read_text().split('"""')[1]
    numbers = re.findall(r"^(\d)\. ", text, re.MULTILINE)
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
    assert text.count(f"python examples/serving/{kind}_client.py g2p") == 2 + (kind == "rest")


@pytest.mark.serving
@pytest.mark.skipif(SERVER is None, reason="no tensorflow_model_server on the PATH")
def test_a_real_server_answers_both_clients(translator, version, expected, tmp_path):
    (version / "batching_params.pbtxt").write_bytes(Batching().to_file())
    (version / "assets.extra").mkdir(exist_ok=True)
    requests = make_requests(translator, Warmup(batch_sizes=(1, 4), lengths=(5,)))
    write_requests(requests, str(version / "assets.extra" / "tf_serving_warmup_requests"))
    (tmp_path / "batching.config").write_text("num_batch_threads { value: 2 }")
    rest, grpc = _free_port(), _free_port()
    command = [
        *(SERVER, "--model_name=g2p", f"--model_base_path={version.parent}"),
        *(f"--rest_api_port={rest}", f"--port={grpc}"),
        *("--enable_batching=true", "--enable_per_model_batching_parameters=true"),
        f"--batching_parameters_file={tmp_path / 'batching.config'}",
    ]
    with open(tmp_path / "log", "wb") as log, subprocess.Popen(command, stderr=log) as server:
        try:
            _wait_for(f"http://127.0.0.1:{rest}/v1/models/g2p", server)
            check_client(load_client("rest"), f"http://127.0.0.1:{rest}", expected)
            check_client(load_client("grpc"), f"127.0.0.1:{grpc}", expected)
        finally:
            server.terminate()


def fetch(url, body=None):
    with urllib.request.urlopen(urllib.request.Request(url, body)) as response:  # noqa: S310
        return json.load(response)


def _free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _wait_for(url, server):
    """Wait until a server has loaded its model."""
    for _ in range(600):
        assert server.poll() is None
        with contextlib.suppress(urllib.error.URLError):
            return fetch(url)
        time.sleep(0.1)
    return pytest.fail("the server did not start")
