from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from support import square

from stflow.model._config import Config
from stflow.model.denoiser import Denoiser, spot_graph, take_over
from stflow.slide._graph import knn_graph

N_FEATURES, CONFIG = 5, Config(hidden=16, n_layers=2, n_heads=2)
OLD = ["a", "b", "c", "d"]


def make(n_genes: int, seed: int) -> Denoiser:
    """A network with weights everywhere, that reads its genes as `Member` has it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        denoiser = Denoiser(N_FEATURES + n_genes, n_genes, CONFIG).eval()
        for _, head in denoiser.blocks():
            torch.nn.init.normal_(head.outer.weight)
    return denoiser


def answer(denoiser: Denoiser, genes: list[str]) -> dict[str, torch.Tensor]:
    """What a network says of each gene of spots whose expression depends on the gene's name."""
    rng = torch.Generator().manual_seed(0)
    image = torch.randn(16, N_FEATURES, generator=rng)
    every = {gene: torch.randn(16, 2, generator=rng) for gene in "abcdef"}
    y, regressed = (torch.stack([every[gene][:, i] for gene in genes], 1) for i in (0, 1))
    coords = square(4)
    graph = spot_graph(coords, knn_graph(coords, 4)[0])
    with torch.no_grad():
        found, _ = denoiser(y, torch.cat([image, regressed], 1), torch.full((16,), 0.3), graph)
    return dict(zip(genes, found.T, strict=True))


def taught(panel: list[str]) -> tuple[Denoiser, Denoiser]:
    """A network of a panel before and after it takes over what one of `OLD` knows."""
    new, trained = make(len(panel), 1), make(len(OLD), 0)
    before = make(len(panel), 1)
    here = [i for i, gene in enumerate(panel) if gene in OLD]
    take_over(new, trained, here, [OLD.index(panel[i]) for i in here])
    return before, new


@given(st.permutations(OLD))
def test_panel_in_another_order_is_predicted_alike(panel: list[str]) -> None:
    before, new = taught(list(panel))
    wanted = answer(make(len(OLD), 0), OLD)
    found, fresh = answer(new, list(panel)), answer(before, list(panel))
    assert all(torch.allclose(found[gene], wanted[gene], atol=1e-5) for gene in OLD)
    assert not any(torch.allclose(fresh[gene], wanted[gene], atol=1e-2) for gene in OLD)


def test_genes_that_it_does_not_know_stay_as_they_were() -> None:
    before, new = taught(["e", "b", "f"])
    trained = make(len(OLD), 0)
    for (_, head), (_, first), (_, its) in zip(
        new.blocks(), before.blocks(), trained.blocks(), strict=True
    ):
        assert torch.equal(head.outer.weight[[0, 2]], first.outer.weight[[0, 2]])
        assert torch.equal(head.outer.weight[1], its.outer.weight[1])
        assert torch.equal(head.inner.weight, its.inner.weight)
        assert not torch.equal(head.inner.weight, first.inner.weight)


def test_no_gene_in_common_leaves_the_body() -> None:
    before, new = taught(["e", "f"])
    assert torch.equal(new.project[1].weight[:, -2:], before.project[1].weight[:, -2:])
    assert torch.equal(new.time.mlp[0].weight, make(len(OLD), 0).time.mlp[0].weight)
