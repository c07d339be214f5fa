"""The page for pathologists: what QuPath gets, and that spatialdata-plot draws predictions."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

import stflow as stf

QUIET = {"device": "cpu", "show_progress_bar": False}
PAGE = "pathologist.md"


@pytest.mark.slow
def test_the_files_for_qupath(tissue, model, run_page, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    sdata = tissue["S1"]
    genes = run_page("QuPath", PAGE, sdata=sdata, model=model, stf=stf)["genes"]
    (first, *_) = found = json.loads(Path("spots.geojson").read_text())["features"]
    assert len(found) == sdata["table"].n_obs
    names = [f"stflow {gene}{end}" for gene in genes for end in ("", " sd")]
    names += ["stflow_scores three genes", "stflow_scores three genes sd"]
    assert list(first["properties"]["measurements"]) == [*names, "stflow_novelty", "total_counts"]
    areas = [sdata[key].area.to_numpy() for key in ("annotations", "tissue")]
    np.testing.assert_allclose(*areas, rtol=1e-5)


@pytest.mark.slow
def test_maps_by_spatialdata_plot(tissue, model, run_page, tmp_path: Path, monkeypatch) -> None:
    """Spots have the colours of the first gene, and not of the second."""
    monkeypatch.chdir(tmp_path)
    sdata = tissue["S1"]
    stf.tl.predict(sdata, model, **QUIET)
    table, genes = sdata["table"], list(model.genes)
    found = run_page("spatialdata-plot", PAGE, sdata=sdata, genes=genes)
    assert Path("gene.png").stat().st_size > 10_000
    order = table.obs.set_index("spot_id").index.get_indexer(sdata["spots"].index)
    mean, spread = (ax.collections[0].get_facecolors() for ax in found["axes"])
    first, second = table.obsm["stflow"][genes[:2]].to_numpy()[order].T
    np.testing.assert_allclose(mean, viridis(first), atol=0.02)
    assert not np.allclose(mean, viridis(second), atol=0.02)
    assert spread.shape == mean.shape
    assert not np.allclose(spread, mean, atol=0.02)
    plt.close(found["fig"])


def viridis(values: np.ndarray) -> np.ndarray:
    return plt.get_cmap("viridis")((values - values.min()) / np.ptp(values))
