from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support import mean_pearson

from stflow import baselines
from stflow.bench.methods import METHODS, PROTOCOLS, ReducedRank
from stflow.slide._slide import Slide


def test_it_is_listed_and_cited():
    assert METHODS["reduced_rank"] is ReducedRank
    assert ReducedRank.citation == "izenman1975reduced"
    assert ReducedRank.reads == "embedding"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_it_is_the_baseline_in_both_protocols(protocol, arrays):
    method = ReducedRank(protocol=protocol).fit(arrays[:2])
    baseline = baselines.ReducedRank().fit(arrays[:2])
    assert method.choice == ()
    assert np.array_equal(method.predict(arrays[2]), baseline.predict(arrays[2]))
    assert mean_pearson(method.predict(arrays[2]), arrays[2].expression) > 0.3


def test_errors_are_those_of_the_baseline(arrays):
    method, baseline = ReducedRank().fit(arrays[:2]), baselines.ReducedRank().fit(arrays[:2])
    assert method.residual_sd == pytest.approx(baseline.residual_sd)


def test_other_genes_teach_it(arrays, rng):
    def with_others(slide: Slide) -> Slide:
        others = slide.expression.repeat(4, 1) + rng.normal(0, 0.3, (slide.n_spots, 32))
        return replace(slide, auxiliary=others.astype(np.float32))

    alone = ReducedRank().fit(arrays[:2]).predict(arrays[2])
    more = ReducedRank().fit([with_others(slide) for slide in arrays[:2]]).predict(arrays[2])
    assert not np.allclose(alone, more, atol=1e-3)
    assert mean_pearson(more, arrays[2].expression) > 0.3


def test_shuffled_expression_teaches_nothing(arrays, rng):
    shuffled = [replace(s, expression=rng.permuted(s.expression, axis=0)) for s in arrays[:2]]
    predicted = ReducedRank().fit(shuffled).predict(arrays[2])
    assert abs(mean_pearson(predicted, arrays[2].expression)) < 0.15
