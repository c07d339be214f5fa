"""Several samples in one table, and what only looks like them."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from spatialdata import SpatialData
from spatialdata.models import ShapesModel, TableModel
from support import hexagonal, square

import stflow as stf

KNOWN = {"index_unique": "-", "label": "sample"}


def as_table(places: np.ndarray, **obs) -> AnnData:
    names = [f"spot{i}" for i in range(len(places))]
    table = AnnData(np.ones((len(places), 1), np.float32), obs=pd.DataFrame(obs, index=names))
    table.obsm["spatial"] = np.asarray(places, dtype=float)
    return table


def irregular(n: int, *, seed: int, size: float = 1000.0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, size, (n, 2))


def joined(*tables: AnnData, **how) -> AnnData:
    return ad.concat(dict(zip("abcdefgh", tables, strict=False)), **{**KNOWN, **how})


def refused(table: AnnData, match: str) -> None:
    before = set(table.obsp)
    with pytest.raises(ValueError, match=match):
        stf.pp.neighbors(table, overwrite=True)
    assert set(table.obsp) == before


@pytest.mark.parametrize("places", [square, hexagonal])
@pytest.mark.parametrize("shift", [0.0, 7.0, 100.0])
@pytest.mark.parametrize("label", ["sample", "library_id", "orig.ident", "Section", "timepoint"])
def test_lattices_on_each_other(places, shift: float, label: str) -> None:
    table = joined(as_table(places(8)), as_table(places(8) + shift), label=label)
    refused(table, rf"several samples, by column '{label}' of .obs: 'a', 'b'\. .*as a dict of them")


def test_what_the_refusal_proposes_works() -> None:
    table = joined(as_table(square(6)), as_table(square(6) + 9))
    with pytest.raises(ValueError, match=r"`\{name: .*\}`") as told:
        stf.pp.neighbors(table)
    slides = eval(str(told.value).split("`")[1], {"table": table})
    assert list(slides) == ["a", "b"]
    for each in slides.values():
        stf.pp.neighbors(each)
        assert each.n_obs == 36


@pytest.mark.parametrize("n_samples", [2, 8])
def test_cells_on_each_other(n_samples: int) -> None:
    tables = [as_table(irregular(200, seed=k)) for k in range(n_samples)]
    refused(joined(*tables), "by column 'sample' of .obs")
    one = joined(*tables)
    one.obs["batch"] = pd.factorize(one.obs.pop("sample"))[0]
    refused(one, "by column 'batch' of .obs: '0', '1'")


def test_a_small_sample_beside_a_large_one() -> None:
    refused(joined(as_table(irregular(900, seed=0)), as_table(irregular(60, seed=1))), "'sample'")


def test_places_on_the_array_that_occur_twice() -> None:
    row, column = np.divmod(np.arange(64), 8)
    sample = as_table(square(8), array_row=row, array_col=column)
    table = joined(sample, as_table(square(8) + 50, array_row=row, array_col=column))
    del table.obs["sample"]
    refused(table, r"by places on the array, 'array_row', 'array_col', that occur repeatedly\.")
    apart = joined(sample, as_table(square(8) + 5000, array_row=row, array_col=column))
    stf.pp.neighbors(apart)


@pytest.mark.parametrize("names", ["{}-{}", "{1}_{0}"])
def test_barcodes_that_occur_twice(names: str) -> None:
    rng = np.random.default_rng(0)
    barcodes = ["".join(rng.choice(list("ACGT"), 16)) for _ in range(64)]
    table = as_table(np.concatenate([square(8), square(8) + 50]))
    table.obs_names = [names.format(code, k) for k in (1, 2) for code in barcodes]
    refused(table, "by barcodes that occur repeatedly")
    others = ["".join(rng.choice(list("ACGT"), 16)) for _ in range(128)]
    table.obs_names = [f"{code}-1" for code in others]
    stf.pp.neighbors(table)


def test_fit_and_predict_refuse_too(tissue, model) -> None:
    table = tissue["S1"]["table"].copy()
    del table.uns["spatialdata_attrs"]
    table.obs["section"] = np.where(np.arange(table.n_obs) % 2, "x", "y")
    table.obsm["spatial"][::2] = table.obsm["spatial"][1::2] + 20
    with pytest.raises(ValueError, match=r"by column 'section' of \.obs"):
        stf.tl.fit(table, genes=["GENE001"])
    with pytest.raises(ValueError, match=r"by column 'section' of \.obs"):
        stf.tl.predict(table, model)


def test_a_region_of_several_samples() -> None:
    places = np.concatenate([square(6), square(6) + 30])
    table = as_table(places, sample=np.repeat(["x", "y"], 36))
    table.obs["region"] = pd.Categorical(["spots"] * 72)
    table.obs["spot"] = np.arange(72)
    table = TableModel.parse(table, region="spots", region_key="region", instance_key="spot")
    spots = ShapesModel.parse(places, geometry=0, radius=5.0)
    sdata = SpatialData(shapes={"spots": spots}, tables={"table": table})
    with pytest.raises(ValueError, match=r"Region 'spots' holds several .*one region a sample"):
        stf.pp.neighbors(sdata)
    sdata["table"].obs["sample"] = "x"
    stf.pp.neighbors(sdata)


# negative controls


@pytest.mark.parametrize("name", ["leiden", "annotation", "cell_type"])
@pytest.mark.parametrize("places", [square(12), hexagonal(12), irregular(144, seed=3)])
@pytest.mark.parametrize("kind", ["random", "rare", "domains", "stripes"])
def test_clusters_are_no_samples(name: str, places: np.ndarray, kind: str) -> None:
    x, y = ((places - places.min(0)) / np.ptp(places, axis=0)).T
    clusters = {
        "random": np.random.default_rng(1).integers(0, 3, 144),
        "rare": np.random.default_rng(1).random(144) < 0.05,
        "domains": (x > 0.5) + 2 * (y > 0.3),
        "stripes": (12 * x).astype(int) % 2,
    }
    table = as_table(places, **{name: pd.Categorical(clusters[kind].astype(str))})
    stf.pp.neighbors(table)


@pytest.mark.parametrize("places", [square(12), hexagonal(12), irregular(144, seed=3)])
def test_a_slide_that_is_cut_in_pieces(places: np.ndarray) -> None:
    """Sections of one slide touch, as cores and fields of view do; edges cross at the border."""
    x, y = ((places - places.min(0)) / np.ptp(places, axis=0)).T
    pieces = (x > 0.5).astype(int) + 2 * (y > 0.5)
    stf.pp.neighbors(as_table(places, sample=pieces.astype(str), fov=pieces))


def test_samples_that_were_moved_apart() -> None:
    table = joined(as_table(square(8)), as_table(square(8) + np.array([1700, 0])))
    stf.pp.neighbors(table)
    table.uns["spatial"] = {"a": {"images": {}}, "b": {"images": {}}}
    stf.pp.neighbors(table, overwrite=True)
    table.obs["sample"] = "both"
    refused(table, r"by its .uns\['spatial'\]: 'a', 'b'")


def test_a_column_with_a_name_for_each_spot() -> None:
    table = as_table(square(6), sample=[f"s{i}" for i in range(36)], batch=np.nan)
    stf.pp.neighbors(table)


def test_cores_of_a_patient_lie_anywhere() -> None:
    cores = [square(3) + 2000 * np.array([k % 4, k // 4]) for k in range(16)]
    patients = np.repeat(np.arange(16) % 3, 9).astype(str)
    stf.pp.neighbors(as_table(np.concatenate(cores), patient=patients))
