"""What installs stflow beside pip: the Dockerfile and the lock file."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


def complaints(dockerfile: str) -> list[str]:
    """What hadolint says of a Dockerfile."""
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint is not installed: group `test`, where it has a wheel")
    done = subprocess.run([hadolint, "-"], input=dockerfile, capture_output=True, text=True)
    return done.stdout.splitlines() + done.stderr.splitlines()


def test_the_dockerfile_passes_its_linter():
    assert complaints((ROOT / "Dockerfile").read_text()) == []
    found = complaints("FROM python:latest\nRUN pip install torch\n")
    assert {"DL3007", "DL3013"} <= set(re.findall(r"DL\d+", " ".join(found)))


def test_what_the_dockerfile_copies_is_not_ignored():
    """A build from a clean checkout finds its files, and no others are sent."""
    kept = [line for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")]
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (ROOT / "Dockerfile").read_text(), re.M)
    names = " ".join(copied).split()
    assert sorted(names) == sorted(line[1:] for line in kept)
    assert all((ROOT / name).exists() for name in names)


def plain(requirement: Requirement) -> tuple[str, frozenset[str], str]:
    """A requirement, however it is written."""
    bounds = frozenset(str(requirement.specifier).split(",")) - {""}
    return requirement.name, bounds, str(requirement.marker).replace("python_full", "python")


def locked(entry: dict[str, str]) -> tuple[str, frozenset[str], str]:
    """The same of an entry of the lock file."""
    marker = f"; {entry['marker']}" if "marker" in entry else ""
    return plain(Requirement(f"{entry['name']}{entry.get('specifier', '')}{marker}"))


def test_the_lock_file_is_of_this_project():
    """As `uv lock --check` would say without the index; `make lint` asks with it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    (own,) = (each for each in packages if each["name"] == "stflow-spatial")
    asked = [plain(Requirement(each)) for each in project["project"]["dependencies"]]
    entries = own["metadata"]["requires-dist"]
    assert set(asked) == {locked(each) for each in entries if "extra" not in each.get("marker", "")}
    for group, wanted in project["dependency-groups"].items():
        names = {Requirement(each).name for each in wanted if isinstance(each, str)}
        assert names <= {each["name"] for each in own["metadata"]["requires-dev"][group]}
