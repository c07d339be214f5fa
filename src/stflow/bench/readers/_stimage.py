"""Reader of STImage-1K4M: its folders as one task an organ, with splits of our own."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from os import PathLike
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from stflow._splits import Split
from stflow._validation import listing, require_choice, require_seed, require_unique, warn
from stflow.bench._task import Task
from stflow.bench.readers._stimage_source import StimageSource

Organ: TypeAlias = Literal["Breast", "Brain", "Skin", "Mouth", "Stomach", "Prostate", "Colon"]
Technology: TypeAlias = Literal["ST", "Visium", "VisiumHD"]
ORGANS: tuple[Organ, ...] = get_args(Organ)
TECHNOLOGIES: tuple[Technology, ...] = get_args(Technology)
_META = "meta_all_gene"
_COLUMNS = {
    "slide": ("slide",),
    "technology": ("tech", "technology"),
    "organ": ("tissue", "organ"),
}
_SPECIES = "human"
_TEST_SHARE = 0.1
# an accession, or species, tissue, source, date and technology
_STUDY = r"^(GSE\d+(?=_)|(?:[^_]+_){4}[^_]+(?=_))"


def read_stimage(
    root: str | PathLike[str],
    organs: Sequence[Organ] | None = None,
    technologies: Sequence[Technology] | None = None,
    *,
    seed: int = 0,
) -> list[Task]:
    """Open STImage-1K4M as one task an organ, of human slides.

    The folder holds ``meta/meta_all_gene.csv`` and, for each technology, ``image/<slide>.png``,
    ``coord/<slide>_coord.csv`` and ``gene_exp/<slide>_count.csv``. Slides without any of the three
    count as not downloaded. Counts and pixels are read when a method needs them.

    Parameters
    ----------
    root
        The folder.
    organs
        Which to open: Breast, Brain, Skin, Mouth, Stomach, Prostate, Colon. None: those with two
        slides or more whose files are all in order.
    technologies
        Slides to take: ST, Visium, VisiumHD. None: all.
    seed
        Seed of the splits. The split of an organ does not depend on which others are opened.

    Returns
    -------
    Tasks with one fold each and no panel. Tables hold raw counts of all genes, and in
    ``.obsm["spatial"]`` the spot centres in pixels. Tiles are the squares around the spots, twice
    their radius wide, resampled to 224 pixels: so the data set is meant to be cut, and the files
    do not tell the scale of the images. They are cut from the image whenever they are indexed, and
    the last image that was decoded stays in memory, so read slide after slide. :func:`run` keeps
    those that methods learn from in its folder, 150 kB a spot.

    Raises
    ------
    FileNotFoundError
        There is no such folder, no meta file, no slide, or only some of a slide's files.
    KeyError
        The meta file lacks a column.
    ValueError
        An organ or a technology is unknown, an organ has fewer than two slides, a file is damaged,
        the name of a slide leads out of the folder, or spots come twice, lie outside the image or
        differ in radius. When counts are read: they are not counts, or spots have none.

    Warns
    -----
    UserWarning
        An organ is left out for a fault in the files of a slide; one that is named in ``organs``,
        or the only one, raises it.

    Notes
    -----
    No splits were published, so these are constructed: the published shares are 8 to train, 1 to
    validate and 1 to test. Here the validation part belongs to the training slides, within which
    methods choose what they choose. Whole patients (column ``patient`` of the meta file), or else
    whole studies, are drawn for testing as long as they fit into a tenth of the slides; where none
    fits, the smallest is taken; where there is but one, slides are drawn. Sections of one patient
    may then be on both sides. Slides are of one study when they have a publication in common
    (``pmid``, of which there may be several), or the same accession or the same species, tissue,
    source, date and technology at the head of their names.

    References
    ----------
    Chen et al., STimage-1K4M: A histopathology image-gene expression dataset for spatial
    transcriptomics, Advances in Neural Information Processing Systems (2024).

    Examples
    --------
    >>> tasks = stf.bench.read_stimage("STimage-1K4M", ["Skin"])  # doctest: +SKIP
    """
    folder = Path(root)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    require_seed(seed)
    wanted = _chosen(organs, ORGANS, name="organs")
    kinds = _chosen(technologies, TECHNOLOGIES, name="technologies")
    meta = _read_meta(folder / "meta")
    meta = meta[meta["technology"].isin(kinds)]
    tasks, faults = [], []
    for organ in wanted:
        try:
            task = _open_organ(folder, organ, meta, seed)
        except (FileNotFoundError, ValueError) as error:
            if organs is not None:
                raise
            faults.append(error)
            continue
        if task is not None:
            tasks.append(task)
        elif organs is not None:
            raise ValueError(
                f"{folder} has fewer than two human slides of {organ!r} by {listing(kinds)}; a "
                "split needs two."
            )
    if not tasks and faults:
        raise faults[0]
    if not tasks:
        raise FileNotFoundError(
            f"{folder} has no two human slides of one of the organs {listing(ORGANS)} by "
            f"{listing(kinds)}."
        )
    for fault in faults:
        warn(f"An organ is left out: {fault} Delete the files of a slide to do without it.")
    return tasks


def _open_organ(root: Path, organ: str, meta: pd.DataFrame, seed: int) -> Task | None:
    """Open the slides of an organ that were downloaded, if there are two."""
    slides = meta[meta["organ"].str.lower() == organ.lower()].sort_values("slide")
    there = [
        _is_there(root / kind, slide)
        for kind, slide in zip(slides["technology"], slides["slide"], strict=True)
    ]
    slides = slides[np.array(there, dtype=bool)]
    return _make_task(root, organ, slides, seed) if len(slides) >= 2 else None


def _chosen(names: Sequence[str] | None, choices: Collection[str], *, name: str) -> list[str]:
    wanted = list(choices) if names is None else [names] if isinstance(names, str) else list(names)
    for value in wanted:
        require_choice(value, choices, name=name)
    require_unique(wanted, what=name)
    return wanted


def _read_meta(folder: Path) -> pd.DataFrame:
    """Return the human slides: slide, technology, organ, and the unit that is not to be divided."""
    paths = [folder / f"{_META}.csv", *sorted(folder.glob(f"{_META}*.csv"))]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise FileNotFoundError(f"There is no meta file {paths[0]}.")
    try:
        with path.open(encoding="utf-8") as file:
            separator = "\t" if "\t" in file.readline() else ","
        meta = pd.read_csv(path, sep=separator, dtype=str)
    except ValueError as error:
        raise ValueError(f"Meta file {path} cannot be read: {error}.") from error
    found = {}
    for what, names in _COLUMNS.items():
        column = next((name for name in names if name in meta), None)
        if column is None:
            raise KeyError(
                f"Meta file {path} has no column {' or '.join(map(repr, names))} for the {what}; "
                f"it has {listing(meta, limit=20)}."
            )
        found[what] = meta[column]
    found["unit"] = _find_units(meta, found["slide"])
    human = meta["species"].str.lower() == _SPECIES if "species" in meta else slice(None)
    slides = pd.DataFrame(found)[human].dropna()
    require_unique(list(slides["slide"]), what=f"slides in {path}")
    return slides


def _find_units(meta: pd.DataFrame, slides: pd.Series) -> pd.Series:
    """Find what is not to be divided: slides of one patient, or else those of linked studies.

    Slides are linked that name a publication in common, or, as studies without one do, the same
    study in their own names.
    """
    blank = pd.Series(np.nan, meta.index, dtype=object)
    patient, publications = (meta.get(name, blank) for name in ("patient", "pmid"))
    study = slides.str.extract(_STUDY, expand=False).fillna(slides)
    of_study = publications.fillna("").map(lambda text: re.findall(r"\w+", text))
    of_study += study.map(lambda name: [name])
    links = patient.map(lambda name: [("patient", name)]).where(patient.notna(), of_study).explode()
    rows, columns = meta.index.get_indexer(links.index), pd.factorize(links)[0]
    graph = sp.coo_matrix((np.ones(len(links)), (rows, columns)), (len(meta), columns.max() + 1))
    return pd.Series(connected_components(graph @ graph.T, directed=False)[1], meta.index)


def _is_there(folder: Path, slide: str) -> bool:
    """Whether the files of a slide are there; some without the others are an error."""
    if Path(slide).name != slide:
        raise ValueError(f"The meta file names a slide {slide!r}, which leads out of {folder}.")
    paths = StimageSource.paths(folder, slide)
    missing = [path for path in paths if not path.is_file()]
    if missing and len(missing) < len(paths):
        raise FileNotFoundError(f"Slide {slide!r} is incomplete: there is no {listing(missing)}.")
    return not missing


def _make_task(root: Path, organ: str, slides: pd.DataFrame, seed: int) -> Task:
    sources = {
        str(slide): StimageSource.open(root / kind, slide)
        for slide, kind in zip(slides["slide"], slides["technology"], strict=True)
    }
    test = set(_draw_test(slides, np.random.default_rng([seed, ORGANS.index(organ)])))
    train = tuple(slide for slide in sources if slide not in test)
    split = Split("0", train, tuple(slide for slide in sources if slide in test))
    return Task(organ, sources, (split,), constructed=True)


def _draw_test(slides: pd.DataFrame, rng: np.random.Generator) -> list[str]:
    """Slides to test on: whole units that fit into a tenth, else the smallest unit."""
    by = "unit" if slides["unit"].nunique() > 1 else "slide"
    units = [list(unit) for _, unit in slides.groupby(by, sort=True)["slide"]]
    n_test = max(1, round(_TEST_SHARE * len(slides)))
    shuffled = [units[i] for i in rng.permutation(len(units))]
    test: list[str] = []
    for unit in shuffled:
        if len(test) + len(unit) <= n_test:
            test += unit
    return test or min(shuffled, key=len)
