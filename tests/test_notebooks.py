"""Notebooks show what their code gave: a digest ties the outputs to it, and one is run here."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

ROOT = Path(__file__).parents[1]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
RUN_HERE = "patients"
ABSOLUTE = re.compile(r"(?:^|[\s'\"(=])((?:/[\w.+-]+){2,}|[A-Z]:\\\w+)", flags=re.MULTILINE)


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "run_notebooks.py"))


def shown(cell: NotebookNode) -> Iterator[str]:
    """Everything that a reader sees as text below a cell."""
    for output in cell.outputs:
        if output.output_type == "stream":
            yield output.text
        kinds = output.get("data", {})
        yield from (kinds[kind] for kind in kinds if kind.startswith("text/"))


def faults(notebook: NotebookNode, script: dict[str, Any], folder: Path = ROOT) -> list[str]:
    """Why the outputs of a notebook are not those to show; empty when they are."""
    found = []
    if notebook.metadata.get(script["KEY"]) != script["digest"](notebook, folder):
        found.append("outputs are of other code: run `make notebooks`")
    for number, cell in enumerate(script["code_cells"](notebook), start=1):
        if cell.execution_count != number:
            found.append(f"code cell {number} was run as {cell.execution_count}")
        for output in cell.outputs:
            if output.output_type == "error" or output.get("name") == "stderr":
                found.append(f"code cell {number}: {output.get('ename', 'stderr')}")
        for path in ABSOLUTE.findall("\n".join(shown(cell))):
            found.append(f"code cell {number} shows {path}")
    return found


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_outputs_are_those_of_the_code(path: Path, script) -> None:
    assert faults(nbformat.read(path, as_version=4), script, path.parent) == []


@pytest.mark.slow
def test_one_notebook_runs_in_a_fresh_kernel(script) -> None:
    path = ROOT / "notebooks" / f"{RUN_HERE}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    script["execute"](notebook)
    assert faults(notebook, script, path.parent) == []


@pytest.fixture(scope="module")
def small(script, tmp_path_factory) -> tuple[NotebookNode, Path]:
    """A notebook of three cells, executed, and the folder it lies in."""
    folder = tmp_path_factory.mktemp("notebooks")
    (folder / "helper.py").write_text("ANSWER = 41 + 1\n")
    (folder / "other.py").write_text("ANSWER = 0\n")
    cells = [
        nbformat.v4.new_code_cell("from helper import ANSWER\n\nprint(ANSWER)"),
        nbformat.v4.new_markdown_cell("# The answer"),
        nbformat.v4.new_code_cell("ANSWER / 2"),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    script["execute"](notebook, folder)
    return notebook, folder


def test_what_was_run_has_no_faults(small, script) -> None:
    notebook, folder = small
    assert faults(notebook, script, folder) == []
    assert [text for cell in notebook.cells[::2] for text in shown(cell)] == ["42\n", "21.0"]


def test_words_may_change_and_code_may_not(small, script) -> None:
    notebook, folder = deepcopy(small[0]), small[1]
    notebook.cells[1].source = "# The answer, in other words"
    (folder / "other.py").write_text("ANSWER = 1\n")
    assert faults(notebook, script, folder) == []
    notebook.cells[2].source = "ANSWER / 3"
    assert "other code" in " ".join(faults(notebook, script, folder))


def test_code_beside_a_notebook_counts(small, script, tmp_path) -> None:
    (tmp_path / "helper.py").write_text("ANSWER = 43\n")
    assert "other code" in " ".join(faults(small[0], script, tmp_path))


@pytest.mark.parametrize(
    ("output", "fault"),
    [
        (nbformat.v4.new_output("error", ename="KeyError", evalue="", traceback=[]), "KeyError"),
        (nbformat.v4.new_output("stream", name="stderr", text="FutureWarning"), "stderr"),
        (nbformat.v4.new_output("stream", name="stdout", text="in /home/ann/x.csv"), "/home/ann"),
        (nbformat.v4.new_output("display_data", {"text/html": "<a>'/tmp/a_b'</a>"}), "/tmp/a_b"),
        (nbformat.v4.new_output("display_data", {"text/plain": r"'C:\Users\ann'"}), r"C:\Users"),
    ],
)
def test_outputs_to_hide_are_seen(small, script, output, fault) -> None:
    notebook, folder = deepcopy(small[0]), small[1]
    notebook.cells[2].outputs.append(output)
    assert fault in " ".join(faults(notebook, script, folder))


def test_cells_run_out_of_order_are_seen(small, script) -> None:
    notebook, folder = deepcopy(small[0]), small[1]
    notebook.cells[2].execution_count = 3
    assert faults(notebook, script, folder) == ["code cell 2 was run as 3"]


def test_a_failed_run_leaves_the_file(script, tmp_path) -> None:
    cells = [nbformat.v4.new_code_cell("1 / 0")]
    path = tmp_path / "broken.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    before = path.read_text()
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        script["run"](path)
    assert path.read_text() == before
