"""Build a release, check it as a user would get it, and print how to publish it.

    make release

Builds the source archive and the wheel in `dist/` and checks their metadata. Installs the wheel
with the extra `litert` in a fresh environment outside the checkout, and runs the program of the
README there. Uploads nothing.
"""

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"


def main():
    """Build and check the release, and print the remaining steps."""
    version = check_version()
    for old in [*DIST.glob("*.whl"), *DIST.glob("*.tar.gz")]:
        old.unlink()
    say(f"Building keras_s2s {version}")
    run(sys.executable, "-m", "build", "--outdir", DIST, ROOT)
    files = sorted(DIST.iterdir())
    say("Checking the metadata")
    run(sys.executable, "-m", "twine", "check", "--strict", *files)
    with tempfile.TemporaryDirectory() as folder:
        try_out(Path(folder), next(file for file in files if file.suffix == ".whl"))
    names = " ".join(str(file.relative_to(ROOT)) for file in files)
    say(
        f"keras_s2s {version} is ready. Nothing was uploaded. To publish it:\n\n"
        f"    git tag -a v{version} -m 'keras_s2s {version}'\n"
        f"    git push origin v{version}\n"
        f"    {os.path.relpath(sys.executable)} -m twine upload {names}\n"
    )


def check_version():
    """Return the version, which must be the latest in the changelog and that of the citation."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8").replace("## Unreleased\n\n## ", "## ")
    latest = re.search(r"(?m)^## (.*)$", changelog).group(1)
    if latest != version:
        raise ReleaseError(f"CHANGELOG.md must begin with version {version}. Found: {latest}")
    if f"\nversion: {version}\n" not in (ROOT / "CITATION.cff").read_text("utf-8"):
        raise ReleaseError(f"CITATION.cff must have the version {version}")
    return version


def try_out(folder, wheel):
    """Install the wheel in a fresh environment, and run the program of the README with it."""
    say("Installing the wheel in a fresh environment")
    run(sys.executable, "-m", "venv", folder / "venv")
    python = folder / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", f"keras-s2s[litert] @ {wheel.as_uri()}")
    say("Running the program of the README")
    (program,) = re.findall(r"(?s)```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"))
    expected = re.search(r"# (\['.*'\])", program).group(1)
    (folder / "first.py").write_text(program, "utf-8")
    printed = run(python, "-I", "first.py", cwd=folder)
    if expected not in printed:
        raise ReleaseError(
            f"The program of the README must print {expected}. It printed:\n{printed}"
        )


def run(*command, cwd=ROOT):
    """Run a command and return its output. If it fails, raise an error with the output."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise ReleaseError(f"{' '.join(map(str, command))} failed:\n{done.stdout[-4000:]}")
    return done.stdout


def say(line):
    """Print a line and flush."""
    print(line, flush=True)


class ReleaseError(Exception):
    """A problem that must be fixed before the release."""


if __name__ == "__main__":
    try:
        main()
    except ReleaseError as error:
        sys.exit(str(error))
