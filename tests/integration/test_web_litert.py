"""examples/web runs the LiteRT file in headless Chromium."""

from __future__ import annotations

import functools
import html
import http.server
import re
import shutil
import subprocess
import threading
import urllib.parse
from pathlib import Path

import pytest
from helpers.served import tiny_translator
from helpers.served_litert import write

from keras_s2s.export.litert_runner import LiteRTRunner

WEB = Path(__file__).parents[2] / "examples" / "web"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update "
    "--virtual-time-budget=60000 --dump-dom"
)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        """Log nothing."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    if shutil.which("chromium") is None:
        pytest.skip("There is no chromium on the PATH.")
    if not (WEB / "node_modules" / "@litertjs").is_dir():
        pytest.skip("`npm install` was not run in examples/web.")
    folder = tmp_path_factory.mktemp("web")
    for name in ("index.html", "translator.js"):
        shutil.copy(WEB / name, folder)
    (folder / "node_modules").symlink_to((WEB / "node_modules").resolve())
    write(tiny_translator(), folder / "model.tflite", "ids", "greedy")
    return folder


@pytest.fixture(scope="module")
def address(folder):
    handler = functools.partial(QuietHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/index.html"
        server.shutdown()


def show(address, tmp_path, **asked):
    command = ["chromium", *FLAGS.split(), f"--user-data-dir={tmp_path}"]
    command.append(f"{address}?{urllib.parse.urlencode(asked)}")
    page = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    found = re.search('<output id="target">(.*?)</output>', page)
    return html.unescape(found.group(1))


@pytest.mark.parametrize("text", ["hello", "naïve 日本"])
def test_the_page_shows_the_answers_of_the_model(folder, address, tmp_path, text):
    expected = LiteRTRunner(folder / "model.tflite").translate([text])
    assert show(address, tmp_path, text=text) == expected[0]


def test_the_page_reports_unsupported_files(address, tmp_path):
    found = show(address, tmp_path, text="x" * 64)
    assert found == "Error: This page takes 63 tokens at most."
