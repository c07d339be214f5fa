from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from shapely import Point
from spatialdata import SpatialData
from spatialdata.models import Image2DModel
from support import LOOK, make_tissue

import stflow as stf
from stflow._sdata._slides import read_slides
from stflow.model._novelty import Novelty
from stflow.model.training._familiar import learn_novelty
from stflow.model.training._folds import folds
from stflow.slide import Slide

HOW = {"table_key": "table", "embedding_key": "X_embedding", "coordinate_system": "global"}


@pytest.fixture(scope="module")
def slides() -> list[Slide]:
    return [
        read_slides(each, name=name, **HOW)[0] for name, each in make_tissue(n_spots=64).items()
    ]


def test_left_out_slides_are_measured_by_the_relations_of_the_others(slides, monkeypatch) -> None:
    seen, calibrate = [], Novelty.calibrate

    def spy(self, left_out, n_groups):
        seen.append((left_out, n_groups))
        calibrate(self, left_out, n_groups)

    monkeypatch.setattr(Novelty, "calibrate", spy)
    novelty = learn_novelty(slides, folds(slides, None, 3), 0)
    ((found, n_groups),) = seen
    assert n_groups == 3
    for i, (spots, slide) in enumerate(found):
        others = [each.embedding for j, each in enumerate(slides) if j != i]
        expected = Novelty.fit(others, 0).squares(slides[i].embedding, slides[i].graph)
        assert torch.allclose(spots, expected[0], rtol=1e-4)
        assert float(slide) == pytest.approx(float(expected[1]), rel=1e-4, abs=1e-6)
    again = Novelty.fit([slide.embedding for slide in slides], 0)
    assert torch.equal(novelty.relations, again.relations)


def test_patients_are_counted_not_their_slides(slides, monkeypatch) -> None:
    counted = []
    monkeypatch.setattr(
        Novelty, "calibrate", lambda _, left_out, n: counted.append((len(left_out), n))
    )
    whose = [replace(slide, patient=name) for slide, name in zip(slides, "aab", strict=True)]
    learn_novelty(whose, folds(whose, None, 3), 0)
    assert counted == [(3, 2)]


def test_one_slide_is_left_out_in_blocks(slides) -> None:
    novelty = learn_novelty(slides[:1], folds(slides[:1], None, 4), 0)
    own = novelty(slides[0].embedding, slides[0].graph)
    assert float((own < 1).float().mean()) > 0.9
    odd = slides[0].embedding + 50 * slides[0].embedding.std(0)
    assert float(novelty(np.asarray(odd), slides[0].graph).min()) > 1


def recoloured(sdata: SpatialData, factors: tuple[float, float, float]) -> SpatialData:
    """The same spots on an image whose channels are multiplied."""
    colours = np.asarray(sdata["he"]["scale0"]["image"].data)
    tone = np.asarray(factors).reshape(3, 1, 1)
    return with_image(sdata, np.round(colours * tone).astype(np.uint8), sdata["spots"])


def turned(sdata: SpatialData) -> SpatialData:
    """The section as it is when the slide lay a quarter turn away on the scanner."""
    colours = np.asarray(sdata["he"]["scale0"]["image"].data)
    spots = sdata["spots"].copy()
    spots["geometry"] = [Point(each.y, colours.shape[2] - each.x) for each in spots.geometry]
    return with_image(sdata, np.rot90(colours, axes=(1, 2)), spots)


def with_image(sdata: SpatialData, colours: np.ndarray, spots) -> SpatialData:
    image = Image2DModel.parse(colours, dims=("c", "y", "x"), c_coords=("r", "g", "b"))
    changed = SpatialData(
        images={"he": image}, shapes={"spots": spots}, tables={"table": sdata["table"].copy()}
    )
    changed.attrs = dict(sdata.attrs)
    stf.pp.embed(changed, cache=False, overwrite=True, **LOOK)
    stf.pp.neighbors(changed, overwrite=True)
    return changed


@pytest.mark.slow
def test_another_stain_is_new_on_real_tissue(embedded) -> None:
    """C5 by C2 to C4: as it is, turned, and pinker by a fifth."""
    names = ("C2", "C3", "C4")
    training = [read_slides(embedded(name), name=name, **HOW)[0] for name in names]
    novelty = learn_novelty(training, folds(training, None, 3), 0)
    section = embedded("C5")

    def measure(sdata: SpatialData) -> np.ndarray:
        slide = read_slides(sdata, name="C5", **HOW)[0]
        return novelty(slide.embedding, slide.graph).numpy()

    own = measure(section)
    assert (own < 1).mean() > 0.95
    pinker = measure(recoloured(section, (1, 0.8, 1)))
    assert np.median(pinker) > 1.5 * np.quantile(own, 0.9)
    again = measure(turned(section))
    assert np.median(again) < np.quantile(own, 0.9)
    assert (again < 1).mean() > 0.95
