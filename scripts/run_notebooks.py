"""Execute notebooks in place, and keep with each of which code its outputs are.

``python scripts/run_notebooks.py`` runs all of ``notebooks/``, ``... main_job he_only`` some. The
digest is of the code alone: a notebook whose words change does not have to run again.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import os
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parents[1] / "notebooks"
KEY = "outputs_of"


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Cells that run."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def neighbours(code: str, folder: Path) -> list[Path]:
    """Files of the folder that the code imports."""
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    return [path for path in sorted(folder.glob("*.py")) if path.stem in names]


def digest(notebook: NotebookNode, folder: Path = FOLDER) -> str:
    """SHA-256 of all code cells and of the files beside the notebook that they import."""
    cells = [cell.source for cell in code_cells(notebook)]
    beside = neighbours("\n".join(cells), folder)
    texts = [*cells, *(path.read_text(encoding="utf-8") for path in beside)]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def execute(notebook: NotebookNode, folder: Path = FOLDER, **hooks: Any) -> None:
    """Run all cells in a fresh kernel whose working directory is the folder."""
    for cell in code_cells(notebook):
        cell.metadata.pop("execution", None)
    where = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=None, resources=where, record_timing=False, **hooks)
    client.execute(env={name: value for name, value in os.environ.items() if name != "MPLBACKEND"})
    notebook.metadata[KEY] = digest(notebook, folder)


def run(path: Path) -> None:
    """Execute a notebook file in place, and say how far it is; a failed run leaves it as it was."""
    notebook = nbformat.read(path, as_version=4)
    start, n_cells = time.perf_counter(), len(notebook.cells)

    def tell(cell: NotebookNode, cell_index: int, **_: Any) -> None:
        seconds = time.perf_counter() - start
        print(f"{path.stem}: cell {cell_index + 1} of {n_cells}, {seconds:.0f} s", flush=True)

    execute(notebook, path.parent, on_cell_executed=tell)
    nbformat.write(notebook, path)


def main() -> None:
    """Run the notebooks that are named, or all."""
    known = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(known)}")
    names = parser.parse_args().names or known
    if odd := sorted(set(names) - set(known)):
        parser.error(f"no notebook {', '.join(odd)}; there are {', '.join(known)}")
    for name in names:
        run(FOLDER / f"{name}.ipynb")


if __name__ == "__main__":
    main()
