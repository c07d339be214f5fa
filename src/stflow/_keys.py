"""Every key that stflow reads from or writes to a table, in one place."""

from __future__ import annotations

TABLE = "table"
SPOTS = "spots"
IMAGE = "he"
TISSUE = "tissue"
ARTIFACTS = "artifacts"
COORDINATE_SYSTEM = "global"

EMBEDDING = "X_embedding"
SPATIAL = "spatial"
CONNECTIVITIES = "spatial_connectivities"
DISTANCES = "spatial_distances"
NEIGHBORS = "spatial_neighbors"
ARRAY = ["array_row", "array_col"]

PREDICTION = "stflow"
TRUST = ["pearson", "partial", "ceiling", "coverage_90", "fdr"]
ATTENTION = "stflow_attention"
SLIDE_PROPERTIES = "slide_properties"
PATIENT = "patient"
COHORT = "stflow_cohort"

SLASH = "%2F"


def sd(key: str) -> str:
    """Key of the standard deviation that belongs to the prediction ``key``."""
    return f"{key}_sd"


def samples(key: str) -> str:
    """Name the drawn samples of a prediction."""
    return f"{key}_samples"


def scores(key: str) -> str:
    """Name the scores of gene sets, from the samples of a prediction."""
    return f"{key}_scores"


def cell_types(key: str) -> str:
    """Name the fractions of cell types, from the samples of a prediction."""
    return f"{key}_cell_types"


def unexplained(key: str) -> str:
    """Key of what no mixture of cell types with fractions ``key`` explains of a spot."""
    return f"{key}_unexplained"


def parts(key: str) -> list[str]:
    """Keys of ``obsm`` that hold the prediction ``key``: mean, standard deviation and samples."""
    return [key, sd(key), samples(key)]


def novelty(key: str) -> str:
    """Key of how unlike the training spots the spots of the prediction ``key`` are."""
    return f"{key}_novelty"


def observed(key: str) -> str:
    """Key of which spots were given to the prediction ``key`` rather than predicted."""
    return f"{key}_observed"


def trust(key: str, score: str) -> str:
    """Key of how far the genes of the prediction ``key`` can be trusted, by a score."""
    return f"{key}_{score}"


def shift(key: str) -> str:
    """Key of how far a slide as a whole may be off what the prediction ``key`` says of a gene."""
    return f"{key}_shift"


def artifact(key: str, kind: str) -> str:
    """Key of the share of each spot that lies on one kind of the artifacts ``key``."""
    return f"{key}_{kind}"


def latent(key: str) -> str:
    """Key of the latent state that belongs to the prediction ``key``."""
    return f"X_{key}"


def column(gene: str) -> str:
    """Name of a gene's column in a frame of ``obsm``, which zarr cannot store with a slash."""
    return gene.replace("/", SLASH)


def gene(column: str) -> str:
    """Name of the gene whose column this is."""
    return column.replace(SLASH, "/")
