"""A tissue with a known law from image to counts, and what the best predictor would score."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

import dask.array as da
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import build_slide, get_table
from stflow._validation import require_choice, require_count, require_key, require_positive
from stflow.datasets._law import Law, draw_law, mean_pearson
from stflow.datasets._patients import Cohort, Patient, draw_patients
from stflow.datasets._stain import COMMON_STAINS, DOMAINS, draw_tissue
from stflow.datasets._tissue import (
    LATTICES,
    Tissue,
    TissueLattice,
    domain_shares,
    grow_tissue,
    neighbour_mean,
)
from stflow.images.files import CHUNK

OF_SPOTS = "Pass a slide of `datasets.synthetic`; cells have another law."


def synthetic(
    n_slides: int = 3,
    *,
    n_spots: int = 400,
    n_genes: int = 50,
    lattice: TissueLattice = "square",
    pitch_um: float = 200.0,
    image_mpp: float = 2.0,
    jitter: float = 0.01,
    stain_shift: float = 0.08,
    dispersion: float = 4.0,
    zero_inflation: float = 0.1,
    hidden: float = 0.0,
    seed: int = 0,
    n_patients: int | None = None,
    patient_shift: float = Cohort.patient_shift,
    patient_depth: float = Cohort.patient_depth,
    patient_stain: float = Cohort.patient_stain,
) -> dict[str, SpatialData]:
    r"""Make slides whose counts follow a known law of what the image shows.

    Parameters
    ----------
    n_slides
        Number of slides. They share the genes' law; tissue, stain and noise are their own.
    n_spots
        Spots per slide.
    n_genes
        Genes, called ``GENE001`` and so on.
    lattice
        ``"square"``, ``"hex"``, or ``"random"`` for free points at least half a pitch apart, one
        per square pitch.
    pitch_um
        Distance between neighbouring spots in micrometres; spots are half as wide.
    image_mpp
        Micrometres per pixel. An image takes about ``3 * n_spots * (pitch_um / image_mpp) ** 2``
        bytes of memory.
    jitter
        Standard deviation of the spots around their lattice points, in pitches.
    stain_shift
        Standard deviation of each slide's stain around the common one, or its patient's, as a
        share of it.
    dispersion
        The :math:`\phi` of the law, at least 0.1: the smaller, the noisier the counts.
    zero_inflation
        The :math:`\pi` of the law: probability that a count is lost.
    hidden
        The :math:`\sigma` of the law: how strong the programmes are that the image does not show.
        They make neighbours, and genes, alike beyond what the image tells.
    seed
        Seed of everything. A slide does not depend on how many slides are made.
    n_patients
        Patients, whom the slides are dealt to by turns: of two, ``"P1"`` has ``"S1"``, ``"S3"``
        and so on. A patient does not depend on how many there are. None: slides differ as those of
        one patient do, and say nothing of patients.
    patient_shift
        The :math:`\tau` of the law: standard deviation of a patient's shift of each gene.
    patient_depth
        The :math:`\delta` of the law: standard deviation of the logarithm of a patient's depth.
    patient_stain
        Standard deviation of each patient's stain around the common one, as a share of it.

    Returns
    -------
    Slides by name, ``"S1"``, ``"S2"`` and so on. Beside what every slide holds, the table has

    - ``.layers["expected"]``: the expectation of log1p counts given the image, and the patient's
      depth and shifts, exact to 1e-4; no predictor has a smaller expected squared error or a larger
      expected correlation;
    - ``.obsm["domain_shares"]``: :math:`w`, spots by domains;
    - ``.uns["synthetic"]``: the parameters of the law, and ``"best_pearson"``, the mean over
      genes of the Pearson correlation of ``"expected"`` with the log1p counts of this slide.

    With ``n_patients``, ``.obs["patient"]`` and ``.attrs["slide_properties"]["patient"]`` name the
    slide's patient, and ``.uns["synthetic"]`` holds the patient's d as ``"depth"``, s as
    ``"shift"``, and their sum with a as ``"base"``.

    Raises
    ------
    ValueError
        A number is out of range, the lattice is unknown, there are more patients than slides, or
        patients differ where ``n_patients`` is None.

    Notes
    -----
    Smooth random fields, the largest of which rules, divide the tissue into four domains that
    differ in the density, size, shape and stain of nuclei and in the stain between them. With
    :math:`w_{ik}` the share of domain k in the disc that spot i covers, and :math:`m_{ik}` its
    mean over the spots within 1.5 pitches of spot i, itself left out, the count of gene g is

    .. math::

        \log \mu_{ig} &= a_g + \sum_k w_{ik} b_{kg} + \sum_k m_{ik} c_{kg}
                         + \sigma \sum_r f_{ir} l_{rg} + d + s_g \\
        y_{ig} &\sim \pi\,\delta_0 + (1 - \pi)\,\mathrm{NB}(\mu_{ig}, \phi)

    where NB has variance :math:`\mu + \mu^2 / \phi` and :math:`\log \mu` is kept in [-4, 5.5].
    The hidden programmes :math:`f_r`, three, are Gaussian fields of unit variance whose
    correlation is :math:`\exp(-d^2 / 2s^2)` at distance d, with s of 1.5 pitches;
    :func:`stflow.datasets.redraw` draws them, and the counts, anew.
    The neighbours' term :math:`c` is as strong as the spot's own term :math:`b`: a predictor
    that sees one tile at a time falls short of ``"best_pearson"``.

    Depth d and shifts :math:`s_g` are 0 without ``n_patients``, and else drawn once for a patient:

    .. math::

        d &= \delta z \\
        s_g &= \tau \sqrt{1/2} \left(\sum_r u_r v_{rg} + e_g\right)

    where z, :math:`u_r` and :math:`e_g` are standard normal and the two directions v are the same
    for all patients, the squares of a gene adding up to 1. So the shift of a gene is
    :math:`\mathrm{N}(0, \tau^2)`, and half of its variance is shared with other genes. Counts per
    10,000 lose d and keep the shifts.

    Examples
    --------
    >>> import stflow as stf
    >>> slides = stf.datasets.synthetic(2, n_spots=50)
    >>> table = slides["S1"]["table"]
    >>> table.shape
    (50, 50)
    >>> 0 < table.uns["synthetic"]["best_pearson"] < 1
    True
    """
    if n_slides < 1:
        raise ValueError(f"`n_slides` must be at least 1, not {n_slides!r}.")
    scene = Scene(n_spots, lattice, pitch_um, image_mpp, jitter, stain_shift)
    cohort = Cohort(n_patients, patient_shift, patient_depth, patient_stain)
    if n_patients is not None and n_patients > n_slides:
        raise ValueError(f"{n_patients} patients need as many slides; `n_slides` is {n_slides}.")
    law_seed, *slide_seeds = np.random.SeedSequence(seed).spawn(1 + n_slides)
    rng = np.random.default_rng(law_seed)
    law = draw_law(
        n_genes,
        len(DOMAINS),
        dispersion=dispersion,
        zero_inflation=zero_inflation,
        hidden=hidden,
        rng=rng,
    )
    patients = draw_patients(cohort, n_genes, rng.spawn(1)[0])
    slides = {}
    for number, slide_seed in enumerate(slide_seeds):
        patient = patients[number % len(patients)] if patients else None
        made = _make_slide(scene, law, patient, np.random.default_rng(slide_seed))
        slides[f"S{number + 1}"] = made
    return slides


@dataclass(frozen=True, slots=True)
class Scene:
    """What a slide shows; the parameters are those of `synthetic`."""

    n_spots: int
    lattice: TissueLattice
    pitch_um: float
    image_mpp: float
    jitter: float
    stain_shift: float

    def __post_init__(self) -> None:
        if self.n_spots < 1:
            raise ValueError(f"`n_spots` must be at least 1, not {self.n_spots!r}.")
        require_choice(self.lattice, LATTICES, name="lattice")
        require_positive(self.pitch_um, name="pitch_um")
        require_positive(self.image_mpp, name="image_mpp")
        for name in ("jitter", "stain_shift"):
            value = getattr(self, name)
            if not 0 <= value <= 0.5:
                raise ValueError(f"`{name}` must lie between 0 and 0.5, not {value!r}.")


def _make_slide(
    scene: Scene, law: Law, patient: Patient | None, rng: np.random.Generator
) -> SpatialData:
    """Draw one slide, all of it but what is the patient's from ``rng``."""
    tissue = grow_tissue(
        scene.n_spots,
        lattice=scene.lattice,
        jitter=scene.jitter,
        n_domains=len(DOMAINS),
        rng=rng,
    )
    image, _ = draw_tissue(
        tissue,
        pitch_um=scene.pitch_um,
        image_mpp=scene.image_mpp,
        stains=COMMON_STAINS if patient is None else patient.stains,
        stain_shift=scene.stain_shift,
        rng=rng,
    )
    table = _measure(tissue, law if patient is None else patient.law(law), rng)
    table.uns["synthetic"] |= asdict(scene)
    pitch_px = scene.pitch_um / scene.image_mpp
    table.obsm[_keys.SPATIAL] = tissue.centres * pitch_px
    if patient is not None:
        table.obs["patient"] = pd.Categorical([patient.name] * table.n_obs)
        table.uns["synthetic"] |= patient.record()
    return build_slide(
        [da.from_array(image, chunks=(3, CHUNK, CHUNK))],
        table,
        radius=pitch_px / 4,
        mpp=scene.image_mpp,
        technology="synthetic",
        properties=None if patient is None else {"patient": patient.name},
    )


def redraw(
    data: SpatialData | AnnData, n_samples: int = 8, *, seed: int = 0, table_key: str = _keys.TABLE
) -> np.ndarray:
    """Draw the counts of a synthetic slide anew, given its image.

    No sampler can know more: these draws have the smallest expected score, whatever the
    (proper) score.

    Parameters
    ----------
    data
        A slide of :func:`stflow.datasets.synthetic`, whole: its law looks at all spots.
    n_samples
        Number of draws.
    seed
        Seed of the draws.
    table_key
        Name of the table.

    Returns
    -------
    Counts, shape (``n_samples``, N, G).

    Raises
    ------
    KeyError
        The slide is not one of :func:`stflow.datasets.synthetic`.
    """
    table = get_table(data, table_key)
    require_key("synthetic", table.uns, what="law in uns:", hint="Call `datasets.synthetic`.")
    require_key("domain_shares", table.obsm, what="law of spots in obsm:", hint=OF_SPOTS)
    require_count(n_samples, name="n_samples")
    info, shares = table.uns["synthetic"], table.obsm["domain_shares"]
    law = Law(**{field.name: info[field.name] for field in fields(Law)})
    centres = table.obsm[_keys.SPATIAL] * info["image_mpp"] / info["pitch_um"]
    mean = law.mean(shares, neighbour_mean(centres, shares))
    seeds = np.random.SeedSequence(seed).spawn(n_samples)
    return np.stack([law.sample(mean, centres, np.random.default_rng(each)) for each in seeds])


def _measure(tissue: Tissue, law: Law, rng: np.random.Generator) -> AnnData:
    """Draw the counts of a tissue; the table names spots and genes and holds what is known."""
    shares = domain_shares(tissue, n_domains=len(DOMAINS))
    mean = law.mean(shares, neighbour_mean(tissue.centres, shares))
    counts = law.sample(mean, tissue.centres, rng)
    expected = law.expected_log1p(mean)
    n_spots, n_genes = counts.shape
    table = AnnData(
        sp.csr_matrix(counts),
        obs=pd.DataFrame(index=[f"spot{number}" for number in range(1, n_spots + 1)]),
        var=pd.DataFrame(index=[f"GENE{number:03d}" for number in range(1, n_genes + 1)]),
    )
    table.layers["expected"] = expected.astype(np.float32)
    table.obsm["domain_shares"] = shares
    table.uns["synthetic"] = {
        **asdict(law),
        "domains": [domain.name for domain in DOMAINS],
        "best_pearson": mean_pearson(expected, np.log1p(counts)),
    }
    return table
