"""Reader of HEST-bench: its folders as tasks of slides that are read when they are asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import Literal, TypeAlias, get_args

import pandas as pd

from stflow._splits import Split
from stflow._validation import listing, require_unique
from stflow.bench._task import Task
from stflow.bench.readers._hest_source import HestSource

TaskName: TypeAlias = Literal[
    "IDC", "PRAD", "PAAD", "SKCM", "COAD", "READ", "CCRCC", "HCC", "LUNG", "LYMPH_IDC"
]
TASKS: tuple[TaskName, ...] = get_args(TaskName)
_GENES = "var_50genes.json"
_COLUMNS = ("sample_id", "patches_path", "expr_path")


def read_hest(root: str | PathLike[str], tasks: Sequence[TaskName] | None = None) -> list[Task]:
    """Open the tasks of HEST-bench.

    A task is a folder with ``patches/<id>.h5``, ``adata/<id>.h5ad``, ``splits/train_<k>.csv``,
    ``splits/test_<k>.csv`` and ``var_50genes.json``. All is checked now but the counts and the
    pixels, which are read when a method needs them.

    Parameters
    ----------
    root
        Folder that holds the folders of the tasks.
    tasks
        Which to open: IDC, PRAD, PAAD, SKCM, COAD, READ, CCRCC, HCC, LUNG, LYMPH_IDC. None: those
        that are there, in this order.

    Returns
    -------
    Tasks with the published folds and genes. The table of a slide holds the raw counts of all
    genes for the spots that have a patch, in the order of the patches, and in
    ``.obsm["spatial"]`` the centres of the patches in pixels of the full-resolution image. Tiles
    are those of the file, 224 pixels of 0.5 um.

    Raises
    ------
    FileNotFoundError
        There is no such folder, no task, or no file that a task needs.
    ValueError
        A task is unknown, a file is damaged, a fold has a sample on both sides, a path leads out of
        the task's folder, barcodes are missing or come twice, patches are not RGB, nothing tells
        the size of a patch, or a table lacks a gene of the list. When counts are read: they are
        not counts.

    Notes
    -----
    The files give the upper left corner of a patch, x then y, in pixels that differ from slide to
    slide; its centre is half a patch away from it. How many pixels a patch measures is taken from
    ``patch_size_src`` or ``patch_size_level0``, a data set or an attribute of the patches file,
    else it is twice the distance from the corner to the centre of the spot in the
    ``.obsm["spatial"]`` of the ``.h5ad``, if that is the same everywhere to a pixel. Files are
    reported to be about that give the centre itself, y then x: coordinates are taken so where they
    agree with ``.obsm["spatial"]`` to two pixels, or where there is none and the file states a
    ``patch_size`` alone.

    References
    ----------
    Jaume et al., HEST-1k: A Dataset for Spatial Transcriptomics and Histology Image Analysis,
    Advances in Neural Information Processing Systems (2024).

    Examples
    --------
    >>> tasks = stf.bench.read_hest("hest-bench", ["IDC", "PRAD"])  # doctest: +SKIP
    """
    folder = Path(root)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    found = [name for name in TASKS if (folder / name).is_dir()]
    wanted = found if tasks is None else [tasks] if isinstance(tasks, str) else list(tasks)
    for name in wanted:
        if name not in TASKS:
            raise ValueError(f"There is no task {name!r}; available: {listing(TASKS)}.")
    require_unique(wanted, what="tasks")
    absent = [name for name in wanted if name not in found]
    if absent or not wanted:
        raise FileNotFoundError(
            f"{folder} has no folder of task {listing(absent or TASKS)}; it has {listing(found)}."
        )
    return [_read_task(folder / name) for name in wanted]


def _read_task(folder: Path) -> Task:
    genes = _read_genes(folder / _GENES)
    if not (folder / "patches").is_dir():
        raise FileNotFoundError(f"Task folder {folder} has no folder 'patches'.")
    samples: dict[str, tuple[str, str]] = {}
    splits = [
        _read_split(folder, number, samples) for number in _numbers_of_folds(folder / "splits")
    ]
    sources = {
        name: HestSource.open(name, folder / patches, folder / counts, genes)
        for name, (patches, counts) in samples.items()
    }
    return Task(folder.name, sources, tuple(splits), genes=genes)


def _read_genes(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no gene list {path}.")
    try:
        genes = json.loads(path.read_text(encoding="utf-8"))["genes"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"Gene list {path} cannot be read: it needs a key 'genes'.") from error
    if not isinstance(genes, list) or not genes or not all(isinstance(g, str) for g in genes):
        raise ValueError(f"Gene list {path} does not hold a list of names under 'genes'.")
    require_unique(genes, what=f"genes in {path}")
    return tuple(genes)


def _numbers_of_folds(folder: Path) -> list[int]:
    """Return the numbers of the folds; each needs both of its files."""
    sides: Mapping[str, set[int]] = {"train": set(), "test": set()}
    for path in sorted(folder.glob("*.csv")):
        match = re.fullmatch(r"(train|test)_(\d+)", path.stem)
        if match:
            sides[match[1]].add(int(match[2]))
    if not sides["train"] | sides["test"]:
        raise FileNotFoundError(f"{folder} holds no splits, files such as 'train_0.csv'.")
    for side, other in (("train", "test"), ("test", "train")):
        for number in sorted(sides[other] - sides[side]):
            raise FileNotFoundError(
                f"{folder} holds '{other}_{number}.csv' but no '{side}_{number}.csv'."
            )
    return sorted(sides["train"])


def _read_split(folder: Path, number: int, samples: dict[str, tuple[str, str]]) -> Split:
    """Read both sides of a fold, and note in ``samples`` the files of each sample."""
    names = []
    for side in ("train", "test"):
        path = folder / "splits" / f"{side}_{number}.csv"
        rows = _read_rows(path)
        for name, *files in rows.itertuples(index=False):
            inside = (_inside(files[0], path), _inside(files[1], path))
            if samples.setdefault(name, inside) != inside:
                raise ValueError(f"{path} gives sample {name!r} other files than another split.")
        names.append(tuple(rows["sample_id"]))
    try:
        return Split(str(number), *names)
    except ValueError as error:
        raise ValueError(f"Splits in {folder / 'splits'}: {error}") from error


def _read_rows(path: Path) -> pd.DataFrame:
    try:
        rows = pd.read_csv(path, dtype=str)
    except ValueError as error:
        raise ValueError(f"Split file {path} cannot be read: {error}.") from error
    missing = [column for column in _COLUMNS if column not in rows]
    if missing:
        raise ValueError(
            f"Split file {path} lacks the column {listing(missing)}; it has {listing(rows)}."
        )
    rows = rows[list(_COLUMNS)]
    if rows.isna().to_numpy().any():
        raise ValueError(f"Split file {path} has empty fields.")
    require_unique(list(rows["sample_id"]), what=f"samples in {path}")
    return rows


def _inside(relative: str, where: Path) -> str:
    path = PurePosixPath(relative.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise ValueError(f"{where} names {relative!r}, which leads out of the task's folder.")
    return str(path)
