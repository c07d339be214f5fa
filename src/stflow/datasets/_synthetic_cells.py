"""A tissue whose cells have counts by a known law, and spots that are sums of cells."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import dask.array as da
import geopandas as gpd
import numpy as np
import pandas as pd
import scipy.sparse as sp
import shapely
from anndata import AnnData
from scipy.spatial import KDTree
from spatialdata import SpatialData
from spatialdata.models import ShapesModel

from stflow import _keys
from stflow._sdata import annotate, build_slide, image_places
from stflow._validation import require_count
from stflow.datasets._cell_law import CellLaw, domains_around, draw_cell_law
from stflow.datasets._law import mean_pearson
from stflow.datasets._stain import COMMON_STAINS, DOMAINS, Nuclei, draw_tissue
from stflow.datasets._synthetic import Scene
from stflow.datasets._tissue import Tissue, TissueLattice, grow_tissue
from stflow.images.files import CHUNK

CELLS, CELLS_TABLE = "cells", "cells_table"
_BODY_UM = 8.0


def synthetic_cells(
    n_slides: int = 3,
    *,
    n_spots: int = 200,
    n_genes: int = 50,
    lattice: TissueLattice = "square",
    pitch_um: float = 100.0,
    image_mpp: float = 1.0,
    jitter: float = 0.01,
    stain_shift: float = 0.08,
    overdispersion: float = 1.0,
    mixing: float = 0.0,
    seed: int = 0,
) -> dict[str, SpatialData]:
    r"""Make slides whose cells have counts by a known law, and spots that are sums of cells.

    Parameters
    ----------
    n_slides
        Number of slides. They share the genes' law; tissue, stain and noise are their own.
    n_spots
        Spots per slide.
    n_genes
        Genes, called ``GENE001`` and so on.
    lattice
        ``"square"``, ``"hex"``, or ``"random"``, as :func:`synthetic` has them.
    pitch_um
        Distance between neighbouring spots in micrometres; spots are half as wide.
    image_mpp
        Micrometres per pixel. An image takes about ``3 * n_spots * (pitch_um / image_mpp) ** 2``
        bytes of memory.
    jitter
        Standard deviation of the spots around their lattice points, in pitches.
    stain_shift
        Standard deviation of each slide's stain around the common one, as a share of it.
    overdispersion
        The :math:`\theta` of the law: the larger, the noisier the counts.
    mixing
        Share of the cells of each kind that lie anywhere in the tissue, as lymphocytes do, from 0
        to 1. Their nuclei look as their kind does, so that a cell tells what its surroundings do
        not.
    seed
        Seed of everything. A slide does not depend on how many slides are made.

    Returns
    -------
    Slides by name, ``"S1"``, ``"S2"`` and so on. Beside what every slide holds, there are

    - ``shapes["cells"]``: the places nearest to each nucleus of the image, as far as 8 um;
    - ``tables["cells_table"]``: the counts of each cell, with its kind as
      ``.obs["domain"]`` and :math:`m` as ``.obsm["around"]``.

    Either table has

    - ``.layers["mean"]``: the expected counts given the tissue, which add up over cells;
    - ``.layers["expected"]``: the expectation of log1p counts, exact to 1e-4;
    - ``.uns["synthetic"]``: the parameters of the law, and ``"best_pearson"``, the mean over
      genes of the Pearson correlation of ``"expected"`` with the log1p counts of this slide.

    Raises
    ------
    ValueError
        A number is out of range, or the lattice is unknown.

    Notes
    -----
    Without ``mixing``, tissue and image are those that :func:`synthetic` draws. With k the kind of
    cell i, that of the domain where it lies unless it is a moved one, and :math:`m_{il}` the share
    of domain l around it, weighted by a Gaussian whose standard deviation
    is a pitch, the count of gene g is

    .. math::

        \log \mu_{ig} &= a_g + b_{kg} + \sum_l m_{il} c_{lg} \\
        y_{ig} &\sim \mathrm{NB}(\mu_{ig}, \mu_{ig} / \theta)

    where NB has variance :math:`\mu (1 + \theta)` and :math:`\log \mu` is kept in [-8, 4]. Such
    counts add up: the sum over any cells has the same law with the sum of their means. A spot
    counts the cells whose nuclei lie in it.

    Examples
    --------
    >>> sdata = stf.datasets.synthetic_cells(1, n_spots=50)["S1"]
    >>> sdata["cells_table"].n_obs > sdata["table"].n_obs
    True
    """
    require_count(n_slides, name="n_slides")
    require_count(n_genes, name="n_genes")
    if not 0 <= mixing <= 1:
        raise ValueError(f"`mixing` must lie between 0 and 1, not {mixing!r}.")
    scene = Scene(n_spots, lattice, pitch_um, image_mpp, jitter, stain_shift)
    law_seed, *slide_seeds = np.random.SeedSequence(seed).spawn(1 + n_slides)
    rng = np.random.default_rng(law_seed)
    law = draw_cell_law(n_genes, len(DOMAINS), overdispersion=overdispersion, rng=rng)
    return {
        f"S{number}": _make_slide(scene, law, np.random.default_rng(each), mixing=mixing)
        for number, each in enumerate(slide_seeds, start=1)
    }


def _make_slide(
    scene: Scene, law: CellLaw, rng: np.random.Generator, *, mixing: float
) -> SpatialData:
    """Draw one slide, all of it from ``rng``."""
    laid: dict[str, Any] = {"lattice": scene.lattice, "jitter": scene.jitter}
    tissue = grow_tissue(scene.n_spots, n_domains=len(DOMAINS), rng=rng, **laid)
    image, nuclei = draw_tissue(
        tissue,
        pitch_um=scene.pitch_um,
        image_mpp=scene.image_mpp,
        stains=COMMON_STAINS,
        stain_shift=scene.stain_shift,
        mixing=mixing,
        rng=rng,
    )
    pitch_px = scene.pitch_um / scene.image_mpp
    cells = _measure_cells(tissue, nuclei, law, pitch_px, rng)
    spots = _add_up(cells, law, tissue.centres * pitch_px, pitch_px / 4)
    for table in (cells, spots):
        table.uns["synthetic"] |= {**asdict(scene), "mixing": mixing}
    sdata = build_slide(
        [da.from_array(image, chunks=(3, CHUNK, CHUNK))],
        spots,
        radius=pitch_px / 4,
        mpp=scene.image_mpp,
        technology="synthetic",
    )
    bodies = gpd.GeoDataFrame(
        geometry=_bodies(nuclei.centres, _BODY_UM / scene.image_mpp), index=cells.obs_names
    )
    places = image_places(sdata, _keys.IMAGE)
    sdata[CELLS] = ShapesModel.parse(bodies, transformations=dict(places))
    sdata[CELLS_TABLE] = annotate(cells, region=CELLS)
    return sdata


def _measure_cells(
    tissue: Tissue, nuclei: Nuclei, law: CellLaw, pitch_px: float, rng: np.random.Generator
) -> AnnData:
    """Draw the counts of each cell."""
    around = domains_around(tissue, nuclei.centres / pitch_px, n_domains=len(DOMAINS))
    mean = law.mean(nuclei.domains, around)
    table = _table(law.sample(mean, rng), mean, law, word="cell")
    kinds = [domain.name for domain in DOMAINS]
    table.obs["domain"] = pd.Categorical.from_codes(nuclei.domains, pd.Index(kinds))
    table.obsm["around"] = around.astype(np.float32)
    table.obsm[_keys.SPATIAL] = nuclei.centres
    return table


def _add_up(cells: AnnData, law: CellLaw, centres: np.ndarray, radius: float) -> AnnData:
    """Count the cells whose nuclei lie in each spot."""
    under = KDTree(cells.obsm[_keys.SPATIAL]).query_ball_point(centres, radius)
    spots = np.repeat(np.arange(len(centres)), [len(each) for each in under])
    columns = np.concatenate([*map(np.asarray, under), []]).astype(int)
    ones = np.ones(len(spots), dtype=np.int32)
    sums = sp.csr_matrix((ones, (spots, columns)), shape=(len(centres), cells.n_obs))
    counts = np.asarray((sums @ cells.X).todense(), dtype=np.int32)
    table = _table(counts, sums @ cells.layers["mean"].astype(np.float64), law, word="spot")
    table.obsm[_keys.SPATIAL] = centres
    return table


def _table(counts: np.ndarray, mean: np.ndarray, law: CellLaw, *, word: str) -> AnnData:
    """Name cells or spots, and their genes, and keep what is known of them."""
    n, n_genes = counts.shape
    expected = law.expected_log1p(mean)
    table = AnnData(
        sp.csr_matrix(counts),
        obs=pd.DataFrame(index=[f"{word}{number}" for number in range(1, n + 1)]),
        var=pd.DataFrame(index=[f"GENE{number:03d}" for number in range(1, n_genes + 1)]),
    )
    table.layers["mean"] = mean.astype(np.float32)
    table.layers["expected"] = expected.astype(np.float32)
    table.uns["synthetic"] = {
        **asdict(law),
        "domains": [domain.name for domain in DOMAINS],
        "best_pearson": mean_pearson(expected, np.log1p(counts)),
    }
    return table


def _bodies(centres: np.ndarray, radius: float) -> np.ndarray:
    """Outline what is nearest to each centre (N, 2), as far as a radius."""
    points = shapely.points(centres)
    nearest = shapely.voronoi_polygons(shapely.multipoints(points), ordered=True)
    return shapely.intersection(shapely.get_parts(nearest), shapely.buffer(points, radius))
