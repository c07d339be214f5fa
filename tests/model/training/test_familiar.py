from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support import make_tissue

from stflow._sdata._slides import read_slides
from stflow.model._novelty import Novelty
from stflow.model.training._familiar import learn_novelty
from stflow.model.training._folds import folds
from stflow.slide import Slide


@pytest.fixture(scope="module")
def slides() -> list[Slide]:
    how = {"table_key": "table", "embedding_key": "X_embedding", "coordinate_system": "global"}
    return [
        read_slides(each, name=name, **how)[0] for name, each in make_tissue(n_spots=64).items()
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
