"""Claimed beside measured coverage: what is drawn, what is said, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib import pyplot as plt
from spatialdata import SpatialData

from stflow.metrics import coverage, gaussian_interval, normal_sd
from stflow.pl import calibration

PANEL = list("ABCDE")
CLAIMED = np.arange(5, 100, 5)


def make_table(
    *, spread: float = 1.0, n_spots: int = 3000, seed: int = 0, panel: list[str] = PANEL
) -> AnnData:
    """Counts around their mean as a normal distribution has them, claimed ``spread`` as wide."""
    rng = np.random.default_rng(seed)
    mean = rng.uniform(4, 6, size=(n_spots, len(panel)))
    counts = np.round(np.expm1(np.clip(rng.normal(mean, 0.4), 0, None)))
    table = AnnData(counts, var=pd.DataFrame(index=panel))
    table.obsm["stflow"] = pd.DataFrame(mean, table.obs_names, panel)
    table.obsm["stflow_sd"] = pd.DataFrame(0.4 * spread, table.obs_names, panel)
    table.uns["stflow"] = {"units": "counts"}
    return table


def curve(axes) -> np.ndarray:
    lines = {line.get_label(): line.get_xydata() for line in axes.get_lines()}
    return lines["mean of genes"]


def test_an_honest_spread_lies_on_the_diagonal():
    drawn = curve(calibration(make_table()))
    np.testing.assert_allclose(drawn[:, 0], CLAIMED)
    np.testing.assert_allclose(drawn[:, 1], CLAIMED, atol=2.0)


@pytest.mark.parametrize(("spread", "side"), [(0.5, -1), (2.0, 1)])
def test_too_little_spread_lies_below_and_too_much_above(spread, side):
    drawn = curve(calibration(make_table(spread=spread)))
    middle = drawn[5:15]
    assert (side * (middle[:, 1] - middle[:, 0]) > 10).all()


def test_line_band_and_numbers_are_those_of_the_genes():
    table = make_table(n_spots=80)
    table.obsm["stflow_sd"]["B"] = 0.1
    axes = calibration(table, color="C3")
    measured = np.log1p(table.X)
    mean, sd = (table.obsm[key].to_numpy() for key in ("stflow", "stflow_sd"))
    levels = CLAIMED / 100
    found = np.array(
        [coverage(measured, *gaussian_interval(mean, sd, level=level)) for level in levels]
    )
    np.testing.assert_allclose(curve(axes)[:, 1], 100 * found.mean(axis=1))
    (band,) = axes.collections
    low, high = 100 * np.quantile(found, [0.25, 0.75], axis=1)
    edge = band.get_paths()[0].vertices
    for x, below, above in zip(CLAIMED, low, high, strict=True):
        beside = edge[np.isclose(edge[:, 0], x), 1]
        assert (beside.min(), beside.max()) == (pytest.approx(below), pytest.approx(above))
    means = dict(zip(CLAIMED, 100 * found.mean(axis=1), strict=True))
    numbers = ", ".join(f"{means[level]:.0f}" for level in (50, 80, 90))
    said = [text.get_text() for text in axes.get_legend().get_texts()]
    assert f"at 50, 80, 90 %: {numbers} %" in said
    assert {line.get_color() for line in axes.get_lines()} == {"C3", "0.6"}


def test_one_gene_has_no_band():
    axes = calibration(make_table(n_spots=50), genes="B")
    assert len(axes.collections) == 0


def test_spots_of_several_slides_are_pooled():
    tables = [make_table(n_spots=60, spread=0.3), make_table(n_spots=20, seed=1)]
    slides = {f"S{i}": SpatialData(tables={"table": table}) for i, table in enumerate(tables)}
    alone = [curve(calibration(table))[:, 1] for table in tables]
    pooled = curve(calibration(slides))[:, 1]
    np.testing.assert_allclose(pooled, (60 * alone[0] + 20 * alone[1]) / 80)


def test_slides_that_shift_are_drawn_as_they_are_claimed():
    """Slides moved as a whole, by a t of one degree of freedom: the normal is off the diagonal."""
    rng, slides, panel = np.random.default_rng(2), {}, [f"G{i}" for i in range(100)]
    for name in map(str, range(20)):
        table = make_table(n_spots=20, seed=int(name), panel=panel)
        moved = np.log1p(table.X) + 0.3 * rng.standard_t(1, 100)
        table.X = np.round(np.expm1(np.clip(moved, 0, 15)))
        table.obsm["stflow_sd"][:] = np.hypot(0.4, 0.3 * normal_sd(1))
        slides[name] = SpatialData(tables={"table": table})
    pooled = {"min_counts": 0, "return_ax": True}
    normal = curve(calibration(slides, **pooled))
    for sdata in slides.values():
        told = {"genes": np.array(panel), "shift": np.full(100, 0.3), "shift_df": 1.0}
        sdata["table"].uns["stflow"].update(told)
    drawn = curve(calibration(slides, **pooled))
    np.testing.assert_allclose(drawn[:, 1], CLAIMED, atol=3.5)
    assert np.abs(normal[:, 1] - CLAIMED).max() > 5
    one = {name: sdata for name, sdata in slides.items() if name == "0"}
    one["0"]["table"].obs["stflow_observed"] = np.arange(20) == 0
    told = curve(calibration(one, **pooled))
    del one["0"]["table"].uns["stflow"]["shift"]
    np.testing.assert_array_equal(curve(calibration(one, **pooled)), told)


def test_observed_spots_are_not_drawn():
    table = make_table(n_spots=60, spread=0.3)
    expected = curve(calibration(table[20:].copy()))
    given = np.arange(60) < 20
    table.obsm["stflow"][given] = np.log1p(table.X[given])
    table.obsm["stflow_sd"][given] = 0.0
    assert not np.allclose(curve(calibration(table)), expected)
    table.obs["stflow_observed"] = given
    np.testing.assert_allclose(curve(calibration(table)), expected)


@pytest.mark.parametrize("spread", [0.2, 0.5, 1.0, 2.0, 4.0])
def test_the_legend_hides_no_part_of_the_line(spread):
    axes = calibration(make_table(spread=spread, n_spots=300))
    axes.figure.canvas.draw()
    legend = axes.get_legend().get_window_extent()
    for line in axes.get_lines():
        assert legend.count_contains(axes.transData.transform(line.get_xydata())) == 0
    assert axes.bbox.x0 <= legend.x0
    assert legend.x1 <= axes.bbox.x1


def test_draws_where_it_is_told_and_saves(tmp_path):
    table = make_table(n_spots=50)
    table.layers["counts"], table.X = table.X, None
    before = table.copy()
    axes = plt.subplots()[1]
    path = tmp_path / "calibration.png"
    assert calibration(table, layer="counts", ax=axes, title="C5", save=path) is axes
    assert axes.get_title() == "C5"
    assert path.stat().st_size > 0
    assert list(table.obsm) == list(before.obsm)
    pd.testing.assert_frame_equal(table.obsm["stflow_sd"], before.obsm["stflow_sd"])


def test_refusals():
    table = make_table(n_spots=50)
    lacking = table.copy()
    del lacking.obsm["stflow_sd"]
    slides = {
        name: SpatialData(tables={"table": each}) for name, each in (("S0", table), ("S1", lacking))
    }
    message = r"No standard deviation 'stflow_sd' beside .* 'stflow' of 'S1'.*tl\.predict\(.*n_samp"
    with pytest.raises(KeyError, match=message):
        calibration(slides)
    with pytest.raises(KeyError, match=r"No prediction 'other' in table 'table'; obsm: 'stflow'"):
        calibration(table, "other")
    with pytest.raises(KeyError, match=r"predicted genes of table 'table': 'Z'; available: 'A'"):
        calibration(table, genes=["Z"])
    with pytest.raises(ValueError, match="empty dict"):
        calibration({})
    table.obsm["stflow_sd"] *= -1
    with pytest.raises(ValueError, match="standard deviations are negative"):
        calibration(table)
    assert plt.get_fignums() == []


def lines(axes) -> dict[str, np.ndarray]:
    return {line.get_label(): line.get_xydata() for line in axes.get_lines()}


def test_each_group_has_a_line_of_its_own():
    """One patient's intervals are too narrow, the other's too wide; together they seem right."""
    slides = {"A1": make_table(spread=0.5), "A2": make_table(spread=0.5, seed=1)}
    slides["B1"] = make_table(spread=3.0, n_spots=6000, seed=2)
    axes = calibration(slides, groups={"A1": "A", "A2": "A", "B1": "B"})
    found = lines(axes)
    for name, members in {"A": ["A1", "A2"], "B": ["B1"]}.items():
        alone = curve(calibration({each: slides[each] for each in members}))
        np.testing.assert_allclose(found[name], alone)
    np.testing.assert_allclose(found["mean of genes"], curve(calibration(slides)))
    assert found["A"][9, 1] < 40 < 80 < found["B"][9, 1]
    assert len(axes.collections) == 0
    assert set(lines(calibration(slides))) == set(found) - {"A", "B"}


def test_groups_can_be_a_column_and_many_are_not_named():
    slides = {f"S{i}": make_table(n_spots=50, seed=i) for i in range(9)}
    for name, table in slides.items():
        table.obs["patient"] = name
    axes = calibration(slides, groups="patient")
    assert not set(lines(axes)) & set(slides)
    assert sum(line.get_color() == "0.7" for line in axes.get_lines()) == 9
    slides["S0"].obs["patient"] = ["S0", "S1"] * 25
    with pytest.raises(ValueError, match="The spots of slide 'S0' are of several groups: 'S0', 'S"):
        calibration(slides, groups="patient")


def test_refusals_of_groups():
    table = make_table(n_spots=50)
    with pytest.raises(TypeError, match="`groups` are of several slides; pass these as a dict"):
        calibration(table, groups={"slide": "A"})
    with pytest.raises(KeyError, match="S2"):
        calibration({"S1": table, "S2": make_table(seed=1, n_spots=50)}, groups={"S1": "A"})
    assert plt.get_fignums() == []
