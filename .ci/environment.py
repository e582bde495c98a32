"""Create the environment for the Makefile, using only Python.

    python3 .ci/environment.py .venv dev

Creates `.venv` if it is missing, was made by another Python, or was moved. Then installs this
checkout into it (editable, with the extra `dev`), unless that was already done from the same
`pyproject.toml`. The syntax is kept simple so that an old Python can report that it is too old.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time

OLDEST, NEWEST = (3, 11), (3, 13)
CONTAINS = {"dev": ("dev",), "examples": ("examples", "dev")}  # extras that satisfy an extra
LARGE = re.compile(r"\(\d\d+(\.\d+)? MB\)$")  # downloads of at least 10 MB


class SetupError(Exception):
    """A problem that the user has to fix."""


def check_python():
    """Raise an error if TensorFlow has no wheels for this Python, or it cannot create venvs."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        raise SetupError(
            "keras_s2s needs Python {} to {}, because TensorFlow 2.21 does. {} is Python {}.\n"
            "Name another one, for instance: make test PYTHON=python3.12".format(
                ".".join(map(str, OLDEST)), ".".join(map(str, NEWEST)), sys.executable, version
            )
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        raise SetupError(
            "{} (Python {}) cannot create environments: {}.\nInstall its venv module (Debian, "
            "Ubuntu: apt install python3-venv) or name another Python: "
            "make test PYTHON=/path/to/python3".format(sys.executable, version, error)
        ) from None


def is_usable(folder, python):
    """Return whether `folder` is an environment of this Python version that was not moved."""
    program = "import sys, pip; print(sys.version_info[:2] == {}, sys.prefix)".format(
        tuple(sys.version_info[:2])
    )
    try:
        answer = subprocess.run([python, "-I", "-c", program], check=False, stdout=-1, stderr=-1)
        with open(os.path.join(folder, "bin", "pip")) as script:
            first_lines = script.read(1024)
    except OSError:
        return False
    expected = "True {}".format(folder)
    return (
        answer.returncode == 0
        and answer.stdout.decode().strip() == expected
        and (folder in first_lines)
    )


def create(folder):
    """Create the environment, replacing an unusable one."""
    import venv

    ours = os.path.exists(os.path.join(folder, "pyvenv.cfg"))
    if os.path.exists(folder) and os.listdir(folder) and not ours:
        raise SetupError("{} is not an environment. Nothing was changed in it.".format(folder))
    say("Creating {} with Python {}.{}".format(os.path.relpath(folder), *sys.version_info[:2]))
    try:
        venv.EnvBuilder(clear=True, with_pip=True, symlinks=True).create(folder)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupError("Could not create {}: {}".format(folder, error)) from None


def install(folder, python, extra):
    """Install this checkout with `extra`. Show pip's progress, and its output if it fails."""
    log_path = os.path.join(folder, "install.log")
    command = [python, "-m", "pip", "install", "--progress-bar=off", "-e", ".[{}]".format(extra)]
    environment = dict(os.environ, PYTHONUNBUFFERED="1", PIP_DISABLE_PIP_VERSION_CHECK="1")
    say("Installing keras_s2s[{}]: TensorFlow and other packages, up to 800 MB".format(extra))
    started = time.time()
    with open(log_path, "w") as log:
        pip = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, env=environment, universal_newlines=True
        )
        with pip.stdout, Progress() as progress:
            for line in pip.stdout:
                log.write(line)
                log.flush()
                progress.show(line.strip())
        status = pip.wait()
    if status != 0:
        with open(log_path) as log:
            tail = log.read().splitlines()[-20:]
        raise SetupError("\n".join([*tail, "pip failed. Its full output: " + log_path]))
    say("Installed in {:.0f} s".format(time.time() - started))


class Progress:
    """Progress display: an updating line on a terminal, otherwise a line per large download."""

    def __enter__(self):
        self.moves = sys.stdout.isatty()
        self.started, self.doing, self.done = time.time(), "resolving", threading.Event()
        self.ticker = threading.Thread(target=self.tick, daemon=True)
        if self.moves:
            self.ticker.start()
        return self

    def __exit__(self, *exception):
        self.done.set()
        if self.moves:
            self.ticker.join()
            sys.stdout.write("\r\033[K")
            sys.stdout.flush()

    def show(self, line):
        """Process one line of pip's output."""
        if line.startswith(("Collecting", "Downloading", "Building", "Preparing")):
            self.doing = line
        elif line.startswith("Installing collected"):
            self.doing = "Unpacking {} packages".format(line.count(",") + 1)
        else:
            return
        if not self.moves and (LARGE.search(line) or line.startswith("Installing")):
            say("  " + self.doing)

    def tick(self):
        """Redraw the line twice a second so that a long download does not look stuck."""
        while not self.done.wait(0.5):
            minutes, seconds = divmod(int(time.time() - self.started), 60)
            line = "  {}:{:02d}  {}".format(minutes, seconds, self.doing)
            sys.stdout.write("\r\033[K" + line[:78])
            sys.stdout.flush()


def say(line):
    """Print a line and flush."""
    print(line, flush=True)


def main(folder, extra):
    """Update the environment if necessary."""
    check_python()
    folder = os.path.realpath(folder)
    python = os.path.join(folder, "bin", "python")
    stamp_path = os.path.join(folder, "installed.json")
    with open("pyproject.toml", "rb") as project:
        digest = hashlib.sha256(project.read()).hexdigest()
    if not is_usable(folder, python):
        create(folder)
    try:
        with open(stamp_path) as stamp_file:
            stamp = json.load(stamp_file)
    except (OSError, ValueError):
        stamp = {}
    if digest in [stamp.get(name) for name in CONTAINS[extra]]:
        return
    install(folder, python, extra)
    stamp[extra] = digest
    with open(stamp_path, "w") as stamp_file:
        json.dump(stamp, stamp_file)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except SetupError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Interrupted. Run the same command again to continue.")
