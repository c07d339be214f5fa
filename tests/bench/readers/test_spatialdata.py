from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bench.fabricate import placed
from spatialdata import SpatialData
from support import snapshot

import stflow as stf
from stflow.bench.readers._cut import cut
from stflow.bench.readers._spatialdata import from_slides

SIZES = {"mpp": 8.0, "tile_px": 28}


def test_each_group_is_left_out_in_turn(tissue: dict[str, SpatialData]):
    task = from_slides(tissue, name="made", groups={"S1": "b", "S2": "a", "S3": "b"}, **SIZES)
    assert (task.name, task.constructed, task.genes) == ("made", True, None)
    assert [(split.name, split.train, split.test) for split in task.splits] == [
        ("b", ("S2",), ("S1", "S3")),
        ("a", ("S1", "S3"), ("S2",)),
    ]
    assert task.groups == {"S1": "b", "S2": "a", "S3": "b"}
    alone = from_slides(tissue, name="made", **SIZES)
    assert alone.groups == {}
    assert [split.test for split in alone.splits] == [("S1",), ("S2",), ("S3",)]


def test_centres_tiles_and_counts_are_those_of_the_slides(tissue: dict[str, SpatialData]):
    before = {name: snapshot(sdata) for name, sdata in tissue.items()}
    task = from_slides(tissue, name="made", genes=["GENE001"], **SIZES)
    assert task.genes == ("GENE001",)
    for name, sdata in tissue.items():
        place, source = placed(sdata), task.sources[name]
        table = source.table()
        np.testing.assert_allclose(table.obsm["spatial"], place.centres_px)
        np.testing.assert_array_equal(table.X.toarray(), sdata["table"].X.toarray())
        table.X.data[:] = 0
        table.obsm["spatial"][:] = 0
        tiles = source.tiles()
        assert (tiles.shape, tiles.dtype) == ((64, 28, 28, 3), np.uint8)
        expected = cut(place.levels, place.centres_px, size=56, tile_px=28)
        np.testing.assert_array_equal(tiles, expected)
        off = cut(place.levels, place.centres_px - 28, size=56, tile_px=28)
        assert (tiles != off).any(axis=(1, 2, 3)).all()
    assert {name: snapshot(sdata) for name, sdata in tissue.items()} == before


def test_tiles_are_those_that_embed_reads(tissue: dict[str, SpatialData]):
    """The mean colours of the tiles are the embedding that a slide's owner made of them."""
    task = from_slides(tissue, name="made", **SIZES)
    for name, sdata in tissue.items():
        colours = task.sources[name].tiles().mean(axis=(1, 2)) / 255
        np.testing.assert_allclose(
            colours, sdata["table"].obsm["X_embedding"][:, :3], rtol=0, atol=1e-3
        )


def test_a_scale_may_be_given(tissue: dict[str, SpatialData]):
    for sdata in tissue.values():
        del sdata.attrs["slide_properties"]
    with pytest.raises(ValueError, match="Pass `image_mpp=`"):
        from_slides(tissue, name="made")
    task = from_slides(tissue, name="made", image_mpp=2.0, **SIZES)
    place_size = 8.0 * 28 / 2.0
    levels, centres = task.sources["S1"].place.levels, task.sources["S1"].place.centres_px
    expected = cut(levels, centres, size=place_size, tile_px=28)
    np.testing.assert_array_equal(task.sources["S1"].tiles(), expected)


def test_her2st(data_dir: Path):
    slides = {name: stf.datasets.her2st(name, root=data_dir / "her2st") for name in ("C2", "C3")}
    task = from_slides(slides, name="her2st")
    source = task.sources["C2"]
    assert source.size == pytest.approx(112 / placed(slides["C2"]).mpp)
    assert source.table().shape == slides["C2"]["table"].shape


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"groups": {"S1": "a", "S2": "b"}}, KeyError, "`groups` needs .* 'S3' without a group"),
        ({"groups": dict.fromkeys(["S1", "S2", "S3", "S4"], "a")}, KeyError, "'S4' not among"),
        ({"groups": dict.fromkeys(["S1", "S2", "S3"], "a")}, ValueError, "'S3' are of 'a'"),
        ({"groups": {"S1": "a", "S2": "b", "S3": np.nan}}, ValueError, "no group .* for 'S3'"),
        ({"genes": [1, 2]}, TypeError, "`genes` holds '1', '2', a int"),
        ({"genes": ["GENE001", "ERBB2"]}, KeyError, "'S1' lacks genes of the panel: 'ERBB2'"),
        ({"genes": ["GENE001", "GENE001"]}, ValueError, "Duplicated genes"),
        ({"table_key": "bins"}, KeyError, "No table 'bins'; available: 'table'"),
        ({"image_key": "dapi"}, KeyError, "No image 'dapi'; available: 'he'"),
        ({"mpp": 0.0}, ValueError, "`mpp` must be a positive number"),
        ({"tile_px": 0}, ValueError, "`tile_px` must be a whole number"),
    ],
)
def test_options_that_are_refused(
    tissue: dict[str, SpatialData], options: dict, error: type[Exception], message: str
):
    with pytest.raises(error, match=message):
        from_slides(tissue, name="made", **{**SIZES, **options})


def test_slides_and_groups_by_numbers(tissue: dict[str, SpatialData]):
    numbered = dict(enumerate(tissue.values()))
    task = from_slides(numbered, name="made", groups={0: 1, 1: 1.0, 2: 2}, **SIZES)
    assert [(split.name, split.test) for split in task.splits] == [("1", ("0", "1")), ("2", ("2",))]
    with pytest.raises(TypeError, match=r"0\.5 is a float"):
        from_slides({**numbered, 0.5: tissue["S1"]}, name="made")


def test_slides_that_are_refused(tissue: dict[str, SpatialData], two_regions: SpatialData):
    with pytest.raises(ValueError, match="two or more are needed"):
        from_slides({}, name="made")
    with pytest.raises(TypeError, match="'T' is AnnData, not SpatialData"):
        from_slides({**tissue, "T": tissue["S1"]["table"]}, name="made")
    with pytest.raises(ValueError, match="'T' is of several slides, 'b', 'a'"):
        from_slides({**tissue, "T": two_regions}, name="made")
    tissue["S2"]["table"].X = np.log1p(tissue["S2"]["table"].X)
    with pytest.raises(ValueError, match=r"X of slide 'S2' .*logged"):
        from_slides(tissue, name="made")
    tissue["S2"]["table"].X = None
    with pytest.raises(ValueError, match="'S2' has no counts"):
        from_slides(tissue, name="made")


def test_spots_outside_the_image_are_refused(tissue: dict[str, SpatialData]):
    spots = tissue["S3"]["spots"]
    spots.geometry = spots.geometry.translate(xoff=1e5)
    with pytest.raises(ValueError, match=r"64 of 64 spots of slide 'S3' lie outside image 'he'"):
        from_slides(tissue, name="made")
