"""Speed of training: spots a second, where a step's time goes, and the equations as they stand.

A step is what ``stf.tl.fit`` does: draw four crops of three slides, predict, differentiate, clip
the gradient, move by Adam, follow with the moving average. Slides are jittered hexagonal lattices
with random features and counts. All forms take the same draws, and no draw comes twice. The
equations as they stand (``_dense.py``) are differentiated crop by crop, on a lattice of as
many spots with the same features; their crops are given to them, so drawing counts against
stflow alone. Writes ``results/training.md`` and ``results/training.png``.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import pandas as pd
import torch
from _dense import denoise
from speed import N_FEATURES, K, as_rows, processor, tissue, untrained
from torch.nn.utils import clip_grad_norm_

from stflow.flow import fit_prior
from stflow.model.training._crops import Batch, Crops, TensorSlide
from stflow.model.training._plan import FlowTraining
from stflow.slide._graph import knn_graph

RESULTS = Path(__file__).parent / "results"
N_SLIDES, N_CROPS, N_GENES = 3, 4, 50
STEPS = {180: (24, 24), 1_000: (8, 4), 4_000: (4, 1)}  # spots a slide: steps, those as they stand
PHASES = ["drawing", "forward", "backward", "optimiser"]
FORMS = {"float32": "stflow", "bfloat16": "stflow, bfloat16", "dense": "as the equations stand"}


def make_slides(n_spots: int) -> list[TensorSlide]:
    """Slides of one size."""
    coords, rng = tissue(n_spots), torch.Generator().manual_seed(0)
    graph, _ = knn_graph(coords, K)
    slides = []
    for _ in range(N_SLIDES):
        rate = 3 * torch.rand(n_spots, N_GENES, generator=rng)
        expression = torch.poisson(rate, generator=rng).log1p()
        features = torch.randn(n_spots, N_FEATURES, generator=rng)
        evenly, nothing = torch.ones(n_spots), torch.empty(n_spots, 0)
        known = features, expression, evenly, nothing, torch.full((n_spots,), torch.nan), nothing
        slides.append(TensorSlide(coords, graph, *known))
    return slides


class Trainer:
    """What lightning does with the network in a step, with a clock at each phase."""

    def __init__(self, n_spots: int) -> None:
        slides = make_slides(n_spots)
        counts = torch.cat([slide.expression for slide in slides]).expm1().round()
        prior = fit_prior("zinb", counts, {}, generator=torch.Generator())
        how = {"lr": 5e-4, "seed": 0, "patience": 1, "saved": None}
        self.crops = Crops(slides, prior, 0)
        self.module = FlowTraining(untrained(N_GENES).train(), slides[:1], prior, **how)
        self.seconds: Counter[str] = Counter()

    @contextmanager
    def clock(self, phase: str) -> Iterator[None]:
        """Count what is inside towards a phase."""
        start = time.perf_counter()
        yield
        self.seconds[phase] += time.perf_counter() - start

    def draw(self, step: int) -> list[Batch]:
        """Crops of one step."""
        first = step * N_CROPS
        return [self.crops[draw] for draw in range(first, first + N_CROPS)]

    def update(self) -> None:
        """Move the weights, and their average, along the gradient."""
        clip_grad_norm_(self.module.denoiser.parameters(), 1.0)
        self.module.adam.step()
        self.module.on_train_batch_end()

    def step(self, step: int, *, low: bool) -> int:
        """Train on as many spots as are returned; products are in bfloat16 when ``low``."""
        with self.clock("drawing"):
            batch = Batch.collate(self.draw(step))
        with self.clock("forward"), torch.autocast("cpu", torch.bfloat16, enabled=low):
            loss = self.module.training_step(batch, step)
        with self.clock("backward"):
            self.module.adam.zero_grad()
            loss.backward()
        with self.clock("optimiser"):
            self.update()
        return len(batch.t)

    def dense_step(self, step: int) -> int:
        """Train with the equations as they stand, which know no lone spot."""
        crops = self.draw(step)
        with self.clock("whole"):
            self.module.adam.zero_grad()
            for crop in (crop for crop in crops if len(crop.t) > 1):
                coords, t = torch.from_numpy(tissue(len(crop.t))), float(crop.t[0])
                y_hat = denoise(self.module.denoiser, crop.noisy, crop.features, coords, t, K)
                (y_hat - crop.expression).square().mean().backward()
            self.update()
        return sum(len(crop.t) for crop in crops)


def measure(n_spots: int, form: str, n_steps: int) -> dict[str, float]:
    """Seconds a spot, of each phase and in all, and spots a step; the first step warms up."""
    trainer, drawn = Trainer(n_spots), 0
    for step in range(n_steps + 1):
        if step == 1:
            trainer.seconds.clear()
            drawn = 0
        low = form == "bfloat16"
        drawn += trainer.dense_step(step) if form == "dense" else trainer.step(step, low=low)
    each = {phase: seconds / drawn for phase, seconds in trainer.seconds.items()}
    return {**each, "all": sum(each.values()), "a_step": drawn / n_steps}


def report(measured: pd.DataFrame) -> str:
    """Both tables."""
    rates = 1 / measured["all"].unstack("form")
    rates["a_step"] = measured["a_step"].unstack("form")["float32"]
    for form in ("float32", "bfloat16"):
        rates[f"{form}_ratio"] = rates[form] / rates["dense"]
    shares = measured.drop("dense", level="form")
    shares = (
        shares[PHASES].div(shares["all"], axis=0).assign(ms=1000 * shares["all"] * shares["a_step"])
    )
    speed = {
        "spots": ("spots a slide", ",.0f"),
        "a_step": ("spots a step", ",.0f"),
        **{form: (f"{label}, spots a second", ",.0f") for form, label in FORMS.items()},
        "float32_ratio": ("stflow / as they stand", ".1f"),
        "bfloat16_ratio": ("bfloat16 / as they stand", ".1f"),
    }
    parts = {
        "spots": ("spots a slide", ",.0f"),
        "form": ("precision", ""),
        "ms": ("ms a step", ".0f"),
        **{phase: (phase, ".0%") for phase in PHASES},
    }
    return "\n".join(
        [
            "# Speed of training",
            "",
            f"Steps of {N_CROPS} crops from {N_SLIDES} slides, {N_GENES} genes, {K} "
            f"neighbours, network of the default size; {torch.get_num_threads()} threads, "
            f"{processor()}, torch {torch.__version__.partition('+')[0]}. bfloat16 is that of "
            '`trainer_kwargs={"precision": "bf16-mixed"}`. `python benchmarks/training.py`.',
            "",
            *as_rows(rates.reset_index(), speed),
            "",
            "## Where a step goes",
            "",
            *as_rows(shares.reset_index(), parts),
            "",
        ]
    )


def draw(measured: pd.DataFrame) -> None:
    """Spots a second of each form, and microseconds a spot of each phase."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.2), layout="constrained")
    rates = 1 / measured["all"].unstack("form")
    for form, label in FORMS.items():
        left.plot(rates.index, rates[form], marker="o", label=label)
    left.set(xscale="log", ylim=(0, 1.05 * rates[[*FORMS]].max().max()))
    left.set(xlabel="spots a slide", ylabel="spots a second")
    left.set_xticks(rates.index, [f"{n_spots:,}" for n_spots in rates.index])
    left.minorticks_off()
    left.legend(frameon=False, fontsize=8)
    phases = 1e6 * measured.drop("dense", level="form")[PHASES]
    names, start = [f"{n_spots:,}, {form}" for n_spots, form in phases.index], 0
    for phase in PHASES:
        right.barh(names, phases[phase], left=start, label=phase)
        start += phases[phase].to_numpy()
    right.set(xlabel="microseconds a spot")
    right.invert_yaxis()
    right.legend(frameon=False, fontsize=8, ncols=4, loc="lower center", bbox_to_anchor=(0.4, 1))
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(RESULTS / "training.png", dpi=120)


def main() -> None:
    """Measure, and write the tables and the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spots", type=int, nargs="+", choices=STEPS, default=list(STEPS))
    sizes = parser.parse_args().spots
    warnings.filterwarnings("ignore")
    rows = {
        (n_spots, form): measure(n_spots, form, STEPS[n_spots][form == "dense"])
        for n_spots in sizes
        for form in FORMS
    }
    measured = pd.DataFrame(rows).T.rename_axis(["spots", "form"])
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "training.md").write_text(report(measured))
    draw(measured)
    print(report(measured))


if __name__ == "__main__":
    main()
