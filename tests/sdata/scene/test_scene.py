"""What a map shows of a slide: spots as large as can be seen."""

from __future__ import annotations

import numpy as np
import pytest
from geopandas import GeoDataFrame
from shapely import box
from spatialdata.models import ShapesModel

from stflow._sdata.scene._scene import _spot_scale


@pytest.mark.parametrize(("least", "expected"), [(3.0, 1.0), (6.0, 1.5), (50.0, 2.5)])
def test_enlarged_spots_touch_at_most(least, expected):
    """Spots 4 wide and 10 apart."""
    centres = 10.0 * np.stack(np.meshgrid(np.arange(4), np.arange(3)), -1).reshape(-1, 2)
    spots = ShapesModel.parse(centres, geometry=0, radius=2.0)
    assert _spot_scale(spots, least) == pytest.approx(expected)


def test_squares_are_enlarged_by_their_area():
    squares = ShapesModel.parse(GeoDataFrame(geometry=[box(x, 0, x + 2, 2) for x in (0, 90)]))
    across = 2 * 2 / np.sqrt(np.pi)
    assert _spot_scale(squares, 10.0) == pytest.approx(10.0 / across)
