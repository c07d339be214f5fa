"""Do intervals hold what they claim? Each section of her2st from a model of the other three.

`stf.tl.fit` and `stf.tl.evaluate` with their defaults, the panel chosen on the three. Writes
``results/intervals.md``.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import pandas as pd

import stflow as stf

RESULTS = Path(__file__).parent / "results"
SECTIONS = ("C2", "C3", "C4", "C5")
LEVELS = (50, 80, 90)


def main() -> None:
    """Fit, predict and score, section by section."""
    warnings.simplefilter("ignore", UserWarning)
    slides = {name: stf.datasets.her2st(name) for name in SECTIONS}
    for sdata in slides.values():
        stf.pp.embed(sdata, show_progress_bar=False)
        stf.pp.neighbors(sdata)
    rows = {}
    for name, test in slides.items():
        others = {other: sdata for other, sdata in slides.items() if other != name}
        genes = stf.pp.select_genes(others)
        model = stf.tl.fit(others, genes=genes, show_progress_bar=False)
        stf.tl.predict(test, model, show_progress_bar=False)
        scores = stf.tl.evaluate(test).mean(numeric_only=True)
        rows[name] = {level: scores[f"coverage_{level}"] for level in LEVELS}
        print(name, rows[name], flush=True)
    frame = pd.DataFrame(rows).T
    frame.loc["mean"] = frame.mean()
    lines = [
        "# What intervals hold",
        "",
        "Share of the spots of a section that lie in their intervals, mean over the genes of",
        "the panel; a model of the other three sections of the same patient, all at its default.",
        "`python benchmarks/intervals.py`.",
        "",
        f"| section left out | {' | '.join(f'{level} % intervals' for level in LEVELS)} |",
        "| --- " * (1 + len(LEVELS)) + "|",
        *(f"| {name} | {' | '.join(f'{x:.3f}' for x in row)} |" for name, row in frame.iterrows()),
        "",
    ]
    (RESULTS / "intervals.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
