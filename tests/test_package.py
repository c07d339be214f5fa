"""The package as the index and its users see it: name, version, extras, types."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.resources
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import stflow

ROOT = Path(__file__).parents[1]
METADATA = importlib.metadata.metadata("stflow-spatial")
DISTRIBUTIONS = importlib.metadata.packages_distributions()


@pytest.fixture(scope="module")
def project() -> dict:
    """The table ``[project]`` of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_one_version_everywhere(project: dict):
    citation = (ROOT / "CITATION.cff").read_text()
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert stflow.__version__ == project["version"] == METADATA["Version"]
    assert f"\nversion: {stflow.__version__}\n" in citation
    assert f"\n## {stflow.__version__} " in changelog


def test_name_licence_and_python():
    assert METADATA["Name"] == "stflow-spatial"
    assert METADATA["License-Expression"] == "BSD-3-Clause"
    assert METADATA["Requires-Python"] == ">=3.11"
    assert (ROOT / "LICENSE").read_text().startswith("BSD 3-Clause License")


def test_extras():
    assert set(METADATA.get_all("Provides-Extra")) == {"bench", "transformers", "wsi"}


def test_types_are_shipped():
    assert importlib.resources.files("stflow").joinpath("py.typed").is_file()


def undeclared(source: str, declared: set[str]) -> set[str]:
    """Third-party packages that a file imports and no requirement names."""
    tree = ast.parse(source)
    names = {alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
    names |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
    tops = {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"stflow"}
    return {
        top for top in tops if not declared & set(map(plain, [top, *DISTRIBUTIONS.get(top, [])]))
    }


def plain(requirement: str) -> str:
    """Name of a requirement, as the index compares names."""
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=!~;\[ ]", requirement)[0]).lower()


def test_every_import_is_declared(project: dict):
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    declared = {plain(requirement) for group in groups for requirement in group}
    sources = [path.read_text() for path in Path(stflow.__file__).parent.rglob("*.py")]
    found = set().union(*(undeclared(source, declared) for source in sources))
    assert found == {"conch"}  # on no index, so no extra can name it
    assert undeclared("import yaml, numpy\nfrom PIL import Image", declared) == {"yaml"}


def test_processes_that_tests_start_keep_byte_code():
    def drops(**env: str) -> str:
        code = "import sys; print(sys.dont_write_bytecode)"
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **env}, capture_output=True, text=True
        )
        return done.stdout.strip()

    assert drops() == "False"
    assert drops(PYTHONDONTWRITEBYTECODE="1") == "True"
