"""What a fitted model says of itself, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stflow._units import LABELS

if TYPE_CHECKING:
    from stflow.model._portable import Portable

FDR = 0.05


def describe(model: Portable) -> str:
    """Tell what a model is, what it was fitted to, and how far it can be trusted."""
    judged = model.history.dropna(subset="val_loss")
    best = judged.loc[judged.groupby("flow")["val_loss"].idxmin()]
    epochs = ", ".join(str(epoch) for epoch in best["epoch"])
    by_turns = " by turns" if len(best) > 1 else ""
    return (
        f"STFlow: {len(model.genes)} genes from {model.encoder.get('encoder', 'precomputed')} "
        f"embeddings ({model.n_inputs} wide), {model.config.prior} prior, in "
        f"{LABELS[model.units]}\n"
        f"  trained on {', '.join(model.info['training'])}; validated on "
        f"{'; '.join(dict.fromkeys(model.info['validation']))}{by_turns}: Pearson "
        f"{best['val_pearson'].mean():.3f} at epoch {epochs}\n"
        f"  {claimed(model)}\n"
        f"  {trusted(model)} (`.trust`)\n"
        f"  {', '.join(model.genes[:8])}{', ...' if len(model.genes) > 8 else ''}"
    )


def claimed(model: Portable) -> str:
    """Say for whom the claims of the model hold."""
    n_patients = len({*model.info["patients"].values()})
    if n_patients > 1:
        return f"validated on new patients ({n_patients} known)"
    if n_patients == 1:
        return "one patient: claims hold for new sections of it"
    return "patients unknown: claims hold for new sections only"


def trusted(model: Portable) -> str:
    """Say how many genes can be trusted."""
    if model.trust["pearson"].isna().all():
        return "no spot was left to say which genes can be trusted"
    found = int((model.trust["fdr"] < FDR).sum())
    return (
        f"{found} of {len(model.genes)} genes predicted on unseen spots at a false discovery "
        f"rate of {FDR:.0%}: Pearson {model.trust['pearson'].mean():.3f}, ceiling "
        f"{model.trust['ceiling'].mean():.3f}"
    )
