"""The package as the index and its users see it: name, version, extras, types."""

from __future__ import annotations

import ast
import html
import importlib.metadata
import importlib.resources
import json
import os
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import stflow

ROOT = Path(__file__).parents[1]
FORMS = ROOT / ".github" / "ISSUE_TEMPLATE"
METADATA = importlib.metadata.metadata("stflow-spatial")
DISTRIBUTIONS = importlib.metadata.packages_distributions()


@pytest.fixture(scope="module")
def project() -> dict:
    """The table ``[project]`` of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def citation() -> dict:
    """What CITATION.cff says."""
    return yaml.safe_load((ROOT / "CITATION.cff").read_text())


@pytest.fixture(scope="module")
def zenodo() -> dict:
    """What Zenodo writes of a release."""
    return json.loads((ROOT / ".zenodo.json").read_text())


def test_the_version_is_that_of_the_tag(project: dict, citation: dict):
    """The build reads it; files that people read name the release that comes or came last."""
    assert "version" in project["dynamic"]
    assert stflow.__version__ == METADATA["Version"]
    newest = re.search(r"^## (\S+) \(", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest
    assert newest[1] == citation["version"]


def test_citation_and_zenodo_say_what_the_package_says(project: dict, citation: dict, zenodo: dict):
    description = project["description"]
    assert citation["title"] == f"stflow: {description[0].lower()}{description[1:]}"
    assert zenodo["title"] == citation["title"]
    assert html.unescape(zenodo["description"]) == description
    assert citation["license"] == zenodo["license"] == project["license"]
    assert citation["keywords"] == zenodo["keywords"] == project["keywords"]
    names = [author["name"] for author in project["authors"]]
    assert [author["name"] for author in citation["authors"]] == names
    assert [creator["name"] for creator in zenodo["creators"]] == names
    (paper,) = citation["references"]
    (related,) = zenodo["related_identifiers"]
    assert paper["url"].endswith(related["identifier"].removeprefix("arXiv:"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # what CFF asks for
    assert "version" not in zenodo  # it takes that of the tag


def test_badges_are_true(project: dict):
    """None names a place or a service that nothing else in the repository knows."""
    readme = (ROOT / "README.md").read_text()
    badges = dict(re.findall(r"!\[([^\]:]+): ([^\]]+)\]\(https://img\.shields\.io/badge/", readme))
    prefix = "Programming Language :: Python :: 3."
    minors = [each.removeprefix(prefix) for each in project["classifiers"] if prefix in each]
    status = next(each for each in project["classifiers"] if each.startswith("Development Status"))
    assert badges == {
        "Licence": project["license"],
        "Python": ", ".join(f"3.{minor}" for minor in minors),
        "Status": status.split(" - ")[1].lower(),
    }
    assert readme.count("img.shields.io") == len(badges)


def test_the_release_check_tells_files_that_lag_behind():
    run = runpy.run_path(str(ROOT / "scripts" / "release_check.py"))["disagreements"]
    citation, changelog = "title: x\nversion: 1.2.0\n", "# Changelog\n\n## 1.2.0 (2027-01-31)\n"
    assert run("1.2.0", citation, changelog) == []
    assert run("1.3.0", citation, changelog) == [
        "CITATION.cff says 1.2.0",
        "the newest section of CHANGELOG.md is 1.2.0",
    ]
    assert run("1.2.0", citation, changelog.replace("2027-01-31", "unreleased")) == [
        "CHANGELOG.md has 'unreleased' in place of the day of 1.2.0"
    ]


def test_issue_forms_ask_for_info():
    forms = {path.stem: yaml.safe_load(path.read_text()) for path in FORMS.glob("*.yml")}
    bug = {each["id"]: each["attributes"] for each in forms["bug_report"]["body"] if "id" in each}
    assert "stf.info(sdata)" in bug["info"]["description"]
    for name in ("bug_report", "feature_request"):
        assert {"name", "description", "body"} <= set(forms[name])
        ids = [each["id"] for each in forms[name]["body"] if "id" in each]
        assert len(ids) == len(set(ids)) > 0
        kinds = {each["type"] for each in forms[name]["body"]}
        assert kinds <= {"checkboxes", "dropdown", "input", "markdown", "textarea"}


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
