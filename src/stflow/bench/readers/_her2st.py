"""The HER2-positive breast tumours as the field scores them: patients or sections left out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stflow._digest import digest
from stflow._splits import Split, leave_groups_out
from stflow._validation import listing, require_choice, require_unique, warn
from stflow.bench._target import Target
from stflow.bench._task import Task
from stflow.bench.readers._spatialdata import from_slides

SMOOTHED, PATIENTS, SECTIONS = "her2st-patients-smoothed", "her2st-patients", "her2st-sections"
TARGETS = {
    SMOOTHED: Target(250, 1000, smoothed=True),
    PATIENTS: Target(250, 1000),
    SECTIONS: Target(785, 1000),
}
NEEDS = {
    SMOOTHED: "sections of two patients",
    PATIENTS: "sections of two patients",
    SECTIONS: "two sections of one patient",
}


def read_her2st(
    root: str | os.PathLike[str],
    sections: Sequence[str] | None = None,
    *,
    tasks: Sequence[str] | None = None,
    mpp: float = 0.5,
    tile_px: int = 224,
) -> list[Task]:
    """Read the HER2-positive breast tumours with the folds and labels that others publish.

    Parameters
    ----------
    root
        Folder that holds ``ST-imgs``, ``ST-cnts`` and ``ST-spotfiles``, as ``data/`` of the
        published data set does. Nothing is downloaded.
    sections
        Sections to take, of those that are there. None: all.
    tasks
        Names of tasks. None: all for which there are sections, with a warning for the others.
    mpp
        Micrometres per pixel of the tiles.
    tile_px
        Side of a tile in pixels.

    Returns
    -------
    Tasks in CP10K, which share their slides. ``"her2st-patients-smoothed"`` and
    ``"her2st-patients"`` leave one patient out, with 250 genes, and with labels that are averaged
    over 3 x 3 spots after the logarithm, in training and test, or are not.
    ``"her2st-sections"`` leaves out each section whose patient has others, which stay in training
    with all other patients, with 785 genes; methods choose on sections left out there, on
    patients in the other two.

    Raises
    ------
    FileNotFoundError
        There is no such folder, no section in it, or a section lacks its image, its counts or its
        spots.
    ValueError
        An unknown section or task, one that is named twice, a task that the sections do not allow,
        or a damaged file.

    Warns
    -----
    UserWarning
        A task is left out, or images are more than twice as coarse as tiles.

    Notes
    -----
    How the published panels of 250 and 785 genes were chosen is not known in full. Here they are
    those with the largest variance of the 1,000 with the largest mean, both on the training
    sections of the fold, of the expression as it is before it is smoothed.

    Examples
    --------
    >>> tasks = stf.bench.read_her2st("her2st/data")  # doctest: +SKIP
    """
    wanted = list(TARGETS) if tasks is None else list(tasks)
    require_unique(wanted, what="tasks")
    for name in wanted:
        require_choice(name, TARGETS, name="tasks")
    patients = {name: name[0] for name in _choose_sections(Path(root), sections)}
    folds = _folds(patients)
    _require_possible(wanted, folds, patients, strict=tasks is not None)
    slides = _whole(root, patients, mpp=mpp, tile_px=tile_px)
    return [
        replace(
            slides,
            name=name,
            splits=folds[name],
            target=TARGETS[name],
            groups={} if name == SECTIONS else patients,
        )
        for name in wanted
        if folds[name]
    ]


def _choose_sections(root: Path, sections: Sequence[str] | None) -> list[str]:
    """Name the sections to read, all files of which are there."""
    from stflow.datasets import her2st_sections

    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {root}.")
    lacking = her2st_sections(root)
    if not lacking:
        raise FileNotFoundError(
            f"{root} holds no section of her2st. It needs ST-imgs, ST-cnts and ST-spotfiles, as "
            "data/ of the published data set has them."
        )
    wanted = list(lacking if sections is None else sections)
    require_unique(wanted, what="sections")
    for name in wanted:
        if name not in lacking:
            raise ValueError(f"No section {name!r} in {root}; available: {_listed(lacking)}.")
    torn = {name: lacking[name] for name in wanted if lacking[name]}
    if torn:
        whole = [name for name, lost in lacking.items() if not lost]
        lost = [file for files in torn.values() for file in files]
        raise FileNotFoundError(
            f"{root} lacks {listing(lost, limit=4)}. Put them there, or name sections that are "
            f"whole: {_listed(whole)}."
        )
    return wanted


def _folds(patients: Mapping[str, str]) -> dict[str, tuple[Split, ...]]:
    """Return the folds of each task, none where the sections do not allow it."""
    several = len(set(patients.values())) > 1
    by_patient = leave_groups_out(patients) if several else ()
    counts = list(patients.values())
    with_others = [name for name, patient in patients.items() if counts.count(patient) > 1]
    each = leave_groups_out({name: name for name in patients}) if with_others else ()
    by_section = tuple(split for split in each if split.name in with_others)
    return {SMOOTHED: by_patient, PATIENTS: by_patient, SECTIONS: by_section}


def _require_possible(
    wanted: Sequence[str],
    folds: Mapping[str, Sequence[Split]],
    patients: Mapping[str, str],
    *,
    strict: bool,
) -> None:
    """Refuse what the sections do not allow, or warn of it."""
    lost = [name for name in wanted if not folds[name]]
    if not lost:
        return
    there = f"{_listed(patients)} are of patient {_listed(dict.fromkeys(patients.values()))}"
    needed = "; ".join(f"{name!r} needs {NEEDS[name]}" for name in lost)
    possible = [name for name in folds if folds[name]]
    message = f"{needed}; {there}. Possible: {listing(possible)}."
    if strict or not possible:
        raise ValueError(message)
    warn(f"Left out: {message}")


def _whole(root: str | os.PathLike[str], sections: Mapping[str, str], **tiles: Any) -> Task:
    """Read all sections; warn of images with less than half the detail of their tiles."""
    from stflow.datasets import her2st

    read = {name: her2st(name, root=root, show_progress_bar=False) for name in sections}
    task = from_slides(read, name="her2st", **tiles)
    sources: Mapping[str, Any] = task.sources
    coarse = [name for name, each in sources.items() if 2 * each.size < each.tile_px]
    if coarse:
        scales = [each.place.mpp for name, each in sources.items() if name in coarse]
        warn(
            f"Images of {_listed(coarse)} are coarser than the tiles of {tiles['mpp']:g} um per "
            f"pixel, by up to {max(scales) / tiles['mpp']:.1f} times: most pixels are made up. "
            f"Take tiles of `mpp={max(scales):.3f}` and fewer pixels, or other sections."
        )
    centres = digest(each.place.centres_px for each in sources.values())
    return replace(task, images=f"her2st {task.tiles} {centres[:16]}")


def _listed(names: Any) -> str:
    return listing(names, limit=36)
