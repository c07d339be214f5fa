from __future__ import annotations

import doctest
import inspect
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.spatial import KDTree

import stflow as stf
from stflow.baselines import METHODS, Baseline, Retrieval, Ridge, SmoothedRidge, TrainingMean, _mlp
from stflow.baselines import _baseline as base
from stflow.baselines._components import Components
from stflow.slide._parts import subset
from stflow.slide._slide import Slide

FAST = [name for name in METHODS if name != "network"]


def lattice(side: int) -> tuple[np.ndarray, sp.csr_matrix]:
    coords = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2) * 100.0
    nearest = KDTree(coords).query(coords, 5)[1][:, 1:]
    rows = np.repeat(np.arange(len(coords)), 4)
    graph = sp.csr_matrix((np.ones(rows.size), (rows, nearest.ravel())), shape=(len(coords),) * 2)
    return coords, graph


def make_slide(name: str, embedding: np.ndarray, expression: np.ndarray) -> Slide:
    coords, graph = lattice(int(len(embedding) ** 0.5))
    return Slide(
        name=name,
        coords=coords,
        graph=graph,
        embedding=embedding.astype(np.float32),
        rows=np.arange(len(coords)),
        expression=expression.astype(np.float32),
        genes=tuple(f"g{i}" for i in range(expression.shape[1])),
    )


def tissue(noise: float = 0.3, signal: float = 1.0, side: int = 12, seed: int = 0) -> list[Slide]:
    """Four slides on which expression is linear in the embedding, beside noise."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(6, 3)) * signal
    slides = []
    for i in range(4):
        embedding = rng.normal(size=(side**2, 6)) * [1, 5, 0.1, 1, 2, 1] + 3
        standard = (embedding - 3) / [1, 5, 0.1, 1, 2, 1]
        expression = standard @ weights + 2 + rng.normal(size=(side**2, 3)) * noise
        slides.append(make_slide(f"s{i}", embedding, expression))
    return slides


@pytest.fixture(autouse=True)
def _few_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_mlp, "MAX_EPOCHS", 12)


def correlation(method: Baseline, test: Slide) -> float:
    predicted = method.predict(test)
    pairs = zip(predicted.T, test.expression.T, strict=True)
    return float(np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs]))


@pytest.mark.parametrize("name", FAST)
def test_each_learns_what_can_be_learned(name: str) -> None:
    *train, test = tissue()
    method = METHODS[name]().fit(train)
    predicted = method.predict(test)
    assert predicted.shape == test.expression.shape
    assert predicted.dtype == np.float32
    assert method.genes == test.genes
    error = np.square(predicted - test.expression).mean()
    variance = test.expression.var(0).mean()
    if name == "mean":
        assert error == pytest.approx(variance, rel=0.05)
    else:
        assert error < 0.6 * variance
        assert correlation(method, test) > 0.7


@pytest.mark.parametrize("name", FAST)
def test_where_nothing_can_be_learned_each_is_near_the_mean(name: str) -> None:
    *train, test = tissue(signal=0.0, noise=1.0)
    predicted = METHODS[name]().fit(train).predict(test)
    assert np.square(predicted - test.expression).mean() < 1.1 * test.expression.var(0).mean()


def test_ridge_recovers_a_linear_truth() -> None:
    *train, test = tissue(noise=0.0)
    method = Ridge().fit(train)
    assert method.choice[1] == pytest.approx(1e-3)
    assert np.abs(method.predict(test) - test.expression).max() < 0.05


def test_ridge_equals_sklearn() -> None:
    from sklearn.linear_model import Ridge as Reference

    *train, test = tissue()
    method = Ridge().fit(train)
    x, y = (
        np.concatenate([getattr(s, name) for s in train]).astype(float)
        for name in ("embedding", "expression")
    )
    standard = (x - x.mean(0)) / x.std(0)
    alpha = method.choice[1] * len(x)
    theirs = Reference(alpha).fit(standard, y).predict((test.embedding - x.mean(0)) / x.std(0))
    assert np.allclose(method.predict(test), theirs, atol=1e-3)


def test_ridge_on_noise_is_the_mean() -> None:
    *train, test = tissue(signal=0.0, noise=1.0)
    ridge, mean = Ridge().fit(train), TrainingMean().fit(train)
    assert ridge.choice[1] >= 10
    assert np.abs(ridge.predict(test) - mean.predict(test)).max() < 0.15


def smooth_tissue(rounds: int) -> list[Slide]:
    """Embeddings are a smooth (or, with no rounds, a rough) field seen through noise."""
    rng = np.random.default_rng(1)
    slides = []
    for i in range(3):
        _, graph = lattice(15)
        field = rng.normal(size=(225, 2))
        for _ in range(rounds):
            field = (field + graph @ field / 4) / 2
        field /= field.std(0)
        embedding = field + (0.8 if rounds else 0.1) * rng.normal(size=field.shape)
        slides.append(make_slide(f"s{i}", embedding, field + 2))
    return slides


def test_smoothing_is_chosen_where_the_truth_is_smooth() -> None:
    *train, test = smooth_tissue(rounds=8)
    smoothed, plain = SmoothedRidge().fit(train), Ridge().fit(train)
    assert smoothed.choice[-1] >= 0.5
    errors = [np.square(m.predict(test) - test.expression).mean() for m in (smoothed, plain)]
    assert errors[0] < 0.8 * errors[1]
    assert (smoothed.residual_sd < plain.residual_sd).all()


def test_and_not_where_it_is_rough() -> None:
    *train, test = smooth_tissue(rounds=0)
    smoothed, plain = SmoothedRidge().fit(train), Ridge().fit(train)
    assert smoothed.choice[-1] == 0
    assert np.allclose(smoothed.predict(test), plain.predict(test))


def test_there_are_no_more_components_than_columns_that_vary() -> None:
    embedding = tissue()[0].embedding
    padded = np.pad(embedding, ((0, 0), (0, 3)), constant_values=7)
    assert Components.fit(embedding, 256, 0).axes.shape == (6, 6)
    assert Components.fit(padded, 256, 0).axes.shape == (9, 6)
    assert np.isfinite(Components.fit(padded[:, 6:], 256, 0).transform(padded[:, 6:])).all()


@pytest.mark.parametrize("other", ["seed", "order", "padded"])
def test_components_have_signs_that_follow_from_the_embedding(other):
    rng = np.random.default_rng(0)
    sources = rng.normal(size=(60, 8)) * 2.0 ** -np.arange(8)
    embedding = (sources @ rng.normal(size=(8, 24))).astype(np.float32)
    padded = np.pad(embedding, ((0, 0), (0, 3)), constant_values=0.1)
    ways = {"seed": (embedding, 1), "order": (embedding[::-1], 0), "padded": (padded, 0)}
    data, seed = ways[other]
    first = Components.fit(embedding, 8, 0).transform(embedding)
    again = Components.fit(data, 8, seed).transform(padded if other == "padded" else embedding)
    assert np.allclose(first, again, atol=1e-3)


def test_retrieval_averages_the_k_nearest() -> None:
    *train, test = tissue(noise=0.5)
    method = Retrieval().fit(train)
    k = int(method.choice[1])
    x, y = (np.concatenate([getattr(s, n) for s in train]) for n in ("embedding", "expression"))
    nearest = KDTree(x / x.std(0)).query(test.embedding / x.std(0), k)[1].reshape(-1, k)
    assert 1 < k <= 50
    assert np.allclose(method.predict(test), y[nearest].mean(1), atol=1e-4)


def test_retrieval_takes_one_of_exact_copies() -> None:
    slide = tissue(noise=0.0)[0]
    method = Retrieval().fit([slide, replace(slide, name="a"), replace(slide, name="b")])
    assert method.choice[1] <= 3
    assert np.allclose(method.predict(slide), slide.expression, atol=1e-4)


def test_residual_sd_is_that_of_slides_left_out() -> None:
    *train, _ = tissue(noise=0.5)
    assert Ridge().fit(train).residual_sd == pytest.approx(np.full(3, 0.5), rel=0.1)
    means = TrainingMean().fit(train)
    total = np.concatenate([slide.expression for slide in train]).std(0)
    assert means.residual_sd == pytest.approx(total, rel=0.05)


def test_an_overfitting_method_knows_its_errors() -> None:
    *train, _ = tissue(signal=0.0, noise=1.0)
    method = METHODS["random_forest"]().fit(train)
    x = np.concatenate([method.predict(slide) - slide.expression for slide in train])
    assert np.sqrt(np.square(x).mean(0)).max() < 0.95
    assert method.residual_sd == pytest.approx(np.ones(3), rel=0.1)


def test_moments_of_samples() -> None:
    *train, test = tissue(noise=0.5)
    method = Ridge().fit(train)
    drawn = method.sample(test, 400, seed=3)
    assert drawn.shape == (400, *test.expression.shape)
    assert drawn.dtype == np.float32
    assert np.allclose(drawn.mean(0), method.predict(test), atol=0.15)
    noise = drawn - method.predict(test)
    assert noise.std((0, 1)) == pytest.approx(method.residual_sd, rel=0.02)
    flat = noise.reshape(-1, 3)
    assert np.abs(np.corrcoef(flat.T) - np.eye(3)).max() < 0.02
    assert np.array_equal(drawn, method.sample(test, 400, seed=3))
    assert not np.array_equal(drawn, method.sample(test, 400, seed=4))


@pytest.mark.parametrize("name", FAST)
def test_the_expression_of_the_slide_predicted_is_not_looked_at(name: str) -> None:
    *train, test = tissue()
    method = METHODS[name]().fit(train)
    predicted = method.predict(test)
    assert np.array_equal(method.predict(replace(test, expression=test.expression * 9)), predicted)
    unknown = replace(test, expression=None, genes=())
    assert np.array_equal(method.predict(unknown), predicted)
    changed = [*train[:-1], replace(train[-1], expression=train[-1].expression * 9)]
    assert not np.array_equal(METHODS[name]().fit(changed).predict(test), predicted)


@pytest.mark.parametrize("name", FAST)
def test_same_seed_same_numbers(name: str) -> None:
    *train, test = tissue()
    before = torch.random.get_rng_state()
    first, again = (METHODS[name]().fit(train, seed=5) for _ in range(2))
    assert np.array_equal(first.predict(test), again.predict(test))
    assert np.array_equal(first.residual_sd, again.residual_sd)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("name", ["random_forest", "mlp"])
def test_another_seed_other_numbers(name: str) -> None:
    *train, test = tissue()
    first, other = (METHODS[name]().fit(train, seed=seed).predict(test) for seed in (0, 1))
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", FAST)
def test_one_slide_is_cut_into_blocks(name: str) -> None:
    train, *_, test = tissue()
    method = METHODS[name]().fit([train])
    assert method.residual_sd.shape == (3,)
    assert np.isfinite(method.predict(test)).all()


@pytest.mark.parametrize("name", FAST)
def test_one_gene_and_a_constant_one(name: str) -> None:
    *train, test = tissue()
    one = [replace(s, expression=s.expression[:, :1], genes=("g0",)) for s in train]
    assert METHODS[name]().fit(one).predict(test).shape == (test.n_spots, 1)
    constant = [replace(s, expression=np.ones_like(s.expression)) for s in train]
    method = METHODS[name]().fit(constant)
    assert np.allclose(method.predict(test), 1, atol=1e-4)
    assert np.allclose(method.residual_sd, 0, atol=1e-4)


def test_blocks_are_contiguous_and_hold_every_spot_once() -> None:
    slide = tissue()[0]
    slide = replace(slide, coords=slide.coords * [3, 1])
    blocks = base.cut_blocks(slide)
    assert len(blocks) == base.N_BLOCKS
    assert np.array_equal(np.sort(np.concatenate([b.rows for b in blocks])), slide.rows)
    order = sorted(blocks, key=lambda block: block.coords[:, 0].min())
    for left, right in pairwise(order):
        assert left.coords[:, 0].max() <= right.coords[:, 0].min()


def test_leave_one_out_leaves_the_patient_out_too() -> None:
    """Negative control: of one patient, or of some who are not known, it leaves out slides."""
    slides = tissue()

    def rest(*patients: str | None) -> list[str]:
        known = [replace(s, patient=p) for s, p in zip(slides, patients, strict=True)]
        pairs = list(base.leave_one_out(known))
        assert [held_out.name for _, held_out in pairs] == ["s0", "s1", "s2", "s3"]
        return ["".join(each.name[1] for each in others) for others, _ in pairs]

    assert rest("p", "q", "p", "q") == ["13", "02", "13", "02"]
    by_slide = ["123", "023", "013", "012"]
    assert rest("p", "p", "p", "p") == rest("p", "q", None, "q") == by_slide


def test_leave_one_out_leaves_each_out_once() -> None:
    slides = tissue()
    pairs = list(base.leave_one_out(slides))
    assert [held_out.name for _, held_out in pairs] == [slide.name for slide in slides]
    assert all(held_out not in rest and len(rest) == 3 for rest, held_out in pairs)


@pytest.mark.parametrize("name", FAST)
def test_many_spots_are_sampled(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stflow.slide._parts.MAX_SPOTS", 200)
    *train, test = tissue()
    assert np.isfinite(METHODS[name]().fit(train).predict(test)).all()


class Unread:
    """An embedding on disk: rows when sliced, and nothing else."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape = values, values.shape

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        return self.values[rows]


@pytest.mark.parametrize("name", FAST)
def test_embeddings_may_be_on_disk(name: str) -> None:
    *train, test = tissue()
    on_disk = [replace(slide, embedding=Unread(slide.embedding)) for slide in (*train, test)]
    here = METHODS[name]().fit(train).predict(test)
    assert np.array_equal(METHODS[name]().fit(on_disk[:-1]).predict(on_disk[-1]), here)


def test_errors() -> None:
    slides = tissue()
    with pytest.raises(ValueError, match="`slides` is empty"):
        Ridge().fit([])
    with pytest.raises(ValueError, match="s1 has no expression"):
        Ridge().fit([slides[0], replace(slides[1], expression=None)])
    with pytest.raises(ValueError, match="s1 and s0 have different genes"):
        Ridge().fit([slides[0], replace(slides[1], genes=("a", "b", "c"))])
    narrow = replace(slides[1], embedding=slides[1].embedding[:, :2])
    with pytest.raises(ValueError, match="s1 are 2 wide, those of s0 6"):
        Ridge().fit([slides[0], narrow])
    few, one = subset(slides[2], np.arange(7)), subset(slides[2], np.arange(1))
    with pytest.raises(ValueError, match=r"Too few spots .*\[7\]; at least 8"):
        Ridge().fit([few])
    with pytest.raises(ValueError, match=r"Too few spots .*\[144, 1\]"):
        Ridge().fit([slides[0], one])
    with pytest.raises(RuntimeError, match="This Ridge is not fitted"):
        Ridge().predict(slides[0])
    method = Ridge().fit(slides[:2])
    with pytest.raises(ValueError, match="s1 are 2 wide, those of the fit 6"):
        method.predict(narrow)
    with pytest.raises(ValueError, match="`n_samples` must be a whole number"):
        method.sample(slides[3], 0)
    with pytest.raises(ValueError, match="`seed` must be"):
        Ridge().fit(slides, seed=-1)


def test_genes_weigh_one_over_their_variance_and_constant_ones_nothing() -> None:
    slides = tissue()
    expression = np.concatenate([slide.expression for slide in slides])
    assert base.gene_weights(slides) == pytest.approx(1 / expression.var(0, dtype=float), rel=1e-4)
    level = np.float32(np.log1p(1))
    dull = [replace(s, expression=np.full_like(s.expression, level)) for s in slides]
    assert np.array_equal(base.gene_weights(dull), np.zeros(3))


def test_a_choice_that_gives_nan_is_never_best() -> None:
    class Sometimes(TrainingMean):
        def candidates(self, rest, held_out, seed):
            mean = np.asarray(held_out.expression)
            return [((0.0,), mean * np.nan), ((1.0,), mean), ((2.0,), mean + 1)]

    assert Sometimes().fit(tissue()).choice == (1.0,)


def test_the_example_of_a_method_of_ones_own_runs(tissue) -> None:
    names = {"stf": stf, "np": np, "slides": stf.get.slides(tissue, ["GENE001", "GENE002"])}
    text = inspect.getdoc(stf.baselines.Baseline)
    example = doctest.DocTestParser().get_doctest(text, names, "Baseline", None, 0)
    assert doctest.DocTestRunner().run(example).failed == 0
    assert len(example.examples) == 2
