"""`fit` on several devices or processes computes the same as on one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).parents[1] / "helpers"


def start(*arguments, **variables):
    """Start a process that trains."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), str(HERE.parent.parent)])
    environment["TF_NUM_INTRAOP_THREADS"] = "1"
    return subprocess.Popen(
        [sys.executable, str(HERE / "distributed_fit.py"), *arguments],
        env={**environment, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_workers(*arguments):
    """Start two processes that train together over the loopback device, each with arguments."""
    with ExitStack() as sockets:
        free = [sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        addresses = [f"127.0.0.1:{server.getsockname()[1]}" for server in free]
    return [
        start(
            "worker", *own, TF_CONFIG=json.dumps({"cluster": {"worker": addresses}, "task": task})
        )
        for own, task in zip(
            arguments or ((), ()),
            ({"type": "worker", "index": 0}, {"type": "worker", "index": 1}),
            strict=True,
        )
    ]


def figures(process):
    """Return the results that a process printed."""
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


@pytest.fixture(scope="module")
def on_one_device():
    return figures(start("one"))


def check_equal(ours, theirs):
    for loss in ours:
        assert ours[loss].keys() == theirs[loss].keys()
        for name, values in ours[loss].items():
            # float32 sums in another order
            np.testing.assert_allclose(values, theirs[loss][name], rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(ours[loss]["loss"], theirs[loss]["loss"], rtol=1e-6)


def test_two_devices_train_like_one(on_one_device):
    check_equal(figures(start("mirrored")), on_one_device)


def test_two_processes_train_like_one(on_one_device):
    for worker in start_workers():
        check_equal(figures(worker), on_one_device)


@pytest.mark.slow
def test_killed_workers_resume_like_one_device(on_one_device, tmp_path):
    folders = [str(tmp_path / str(worker)) for worker in range(2)]
    survivor, victim = start_workers((folders[0],), (folders[1], "6"))
    assert victim.wait(timeout=300) == -signal.SIGKILL
    survivor.kill()  # as a cluster manager does: one worker cannot finish a step alone
    for process in (survivor, victim):
        process.communicate()
    # the other one was killed before it had written what this one has
    (tmp_path / "1" / "training_state.npz").unlink()
    for worker in start_workers(*((folder,) for folder in folders)):
        goes_on = figures(worker)
        assert goes_on.pop("steps") == 4  # those of the second epoch, the interrupted one
        check_equal(goes_on, on_one_device)
