"""Wheel and sdist as they are built from the tree: whole, licensed, typed, and of one piece."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

from conftest import ROOT

PACKAGE = ROOT / "python"


def enough_setuptools():
    try:
        return int(importlib.metadata.version("setuptools").split(".")[0]) >= 77
    except importlib.metadata.PackageNotFoundError:
        return False


pytestmark = pytest.mark.skipif(
    not enough_setuptools() or any(importlib.util.find_spec(name) is None for name in ("build", "pip")),
    reason="skipped: no build, pip or setuptools 77 (wheel and sdist were not built)",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the sdist, of a copy: building leaves files beside the sources."""
    tree, out = tmp_path_factory.mktemp("tree") / "python", tmp_path_factory.mktemp("dist")
    shutil.copytree(
        PACKAGE, tree, ignore=shutil.ignore_patterns(".venv", "__pycache__", "*.egg-info", "build", ".*_cache")
    )
    # The wheel is made of the sdist, so that what is missing there is missing here.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, sdist


def modules():
    return {
        f"tokensieve/{path.name}" for path in (PACKAGE / "src/tokensieve").iterdir() if path.suffix in (".py", ".typed")
    }


def test_the_wheel_is_whole(built):
    with zipfile.ZipFile(built[0]) as wheel:
        names = set(wheel.namelist())
        (info,) = {name.split("/")[0] for name in names if name.endswith(".dist-info/METADATA")}
        assert {name for name in names if not name.startswith(info)} == modules()
        assert "tokensieve/py.typed" in names
        metadata = HeaderParser().parsestr(wheel.read(f"{info}/METADATA").decode())
        licence = wheel.read(f"{info}/licenses/LICENSE").decode()
    assert licence == (ROOT / "LICENSE").read_text()
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Requires-Python"] == ">=3.10"
    assert {"torch", "transformers", "harness", "remote"} <= set(metadata.get_all("Provides-Extra"))
    plain = [one for one in metadata.get_all("Requires-Dist") if "extra ==" not in one]
    assert sorted(re.split(r"[<>=]", one)[0] for one in plain) == ["numpy", "pyarrow"]
    # Read where there is no repository beside it.
    links = re.findall(r"\]\(([^)]*)\)", metadata.get_payload())
    assert [link for link in links if not link.startswith("https://")] == []


def test_the_sdist_is_whole(built):
    with tarfile.open(built[1]) as sdist:
        names = {name.split("/", 1)[1] for name in sdist.getnames() if "/" in name}
    kept = {
        str(path.relative_to(PACKAGE))
        for folder in ("src/tokensieve", "tests", "recipes", "interop")
        for path in (PACKAGE / folder).iterdir()
        if path.suffix in (".py", ".typed", ".sh")
    }
    assert kept | {"LICENSE", "README.md", "pyproject.toml", "test.sh"} <= names


def test_the_wheel_is_installed_and_imported(built, tmp_path):
    """Into an empty environment; pyarrow and NumPy are this one's, which nothing has to be fetched for."""
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv/bin/python"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        str(built[0]),
    ]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if "no such option: --python" in done.stderr:
        pytest.skip("skipped: this pip installs into no other environment")
    assert done.returncode == 0, done.stderr
    said = (
        "import tokensieve, importlib.metadata as m; print(tokensieve.__file__); print(m.version('tokensieve'));"
        "print(tokensieve.open_run({!r}).rows)".format(str(ROOT / "fixtures/python/scored"))
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    paths = {
        sysconfig.get_path("purelib"),
        sysconfig.get_path("platlib"),
        str(Path(importlib.util.find_spec("pyarrow").origin).parents[1]),
    }
    done = subprocess.run(
        # Behind the environment's own folders, so that its package is the one that is found.
        [str(python), "-c", f"import sys; sys.path += {sorted(paths)!r}; {said}"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    file, version, rows = done.stdout.split()
    assert Path(file).is_relative_to(tmp_path / "venv")
    assert version == importlib.import_module("tokensieve").__version__
    assert int(rows) > 0
