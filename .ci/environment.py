"""Create the environment for the Makefile, using only Python.

    python3 .ci/environment.py .venv dev

Creates `.venv` if it is missing, was made by another Python, or was moved. Then installs this
checkout into it (editable, with the extra `dev`), unless that was already done from the same
`pyproject.toml`. The syntax is kept simple so that an old Python can report that it is too old.
"""

import hashlib
import json
import os
import subprocess
import sys
import time

OLDEST, NEWEST = (3, 11), (3, 13)
CONTAINS = {"dev": ("dev",), "examples": ("examples", "dev")}  # extras that satisfy an extra


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
    """Install this checkout with `extra`: by uv, or by pip if uv cannot be had or fails."""
    say("Installing keras_s2s[{}]: TensorFlow and its kin, up to 800 MB to download".format(extra))
    started = time.time()
    package = ["--editable", ".[{}]".format(extra)]
    quiet = [] if sys.stdout.isatty() else ["--quiet"]
    if not (has_uv(python) and run([python, "-m", "uv", "pip", "install", *quiet, *package])):
        say("Continuing with pip, which takes longer")
        if not run([python, "-m", "pip", "install", *package]):
            raise SetupError("pip could not install keras_s2s[{}]; see above.".format(extra))
    say("Installed in {:.0f} s".format(time.time() - started))


def has_uv(python):
    """Install uv into the environment. Return whether it may be used."""
    config = subprocess.run([python, "-m", "pip", "config", "list"], check=False, stdout=-1)
    if b".index-url=" in config.stdout and "UV_INDEX_URL" not in os.environ:
        return False  # uv would not ask the index that pip is told to ask
    return run([python, "-m", "pip", "install", "--quiet", "uv>=0.9,<1"])


def run(command):
    """Run a command of pip or uv. Return whether it succeeded."""
    environment = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1", VIRTUAL_ENV="")
    return subprocess.run(command, check=False, env=environment).returncode == 0


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
