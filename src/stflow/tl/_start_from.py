"""What a fit takes over of a model: whether it may, and what the new model says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stflow._sdata import PatientsUnclear, require_same_recipe
from stflow._units import LABELS, Units
from stflow._validation import listing, warn
from stflow.tl._training_slides import TrainingSlides

if TYPE_CHECKING:
    from stflow.model import Config, STFlow
    from stflow.model.training import Start

SHAPE = ("n_layers", "n_heads", "hidden", "n_components", "flow", "frames")


def require_model(init: STFlow | None) -> None:
    """Raise ``TypeError`` when what to start from is no model."""
    from stflow.model import STFlow

    if not isinstance(init, STFlow | None):
        kind = type(init).__name__
        raise TypeError(f"`init` is a {kind}; pass a model, such as `stf.STFlow.load(path)`.")


def shape_from(config: Config | Mapping[str, Any] | None, init: STFlow) -> Config:
    """Return the configuration of a model with some values changed, or another of its shape.

    Raises
    ------
    TypeError
        ``config`` is none, or holds what a model does not have.
    ValueError
        The network would have another shape.
    """
    from stflow.model import Config

    given = Config.of(config)
    shape = replace(init.config, n_flows=None)
    if isinstance(config, Mapping):
        shape = replace(shape, **config)
    elif config is not None:
        shape = given
    pairs = {name: (getattr(shape, name), getattr(init.config, name)) for name in SHAPE}
    if odd := [f"{name} is {a!r}, there {b!r}" for name, (a, b) in pairs.items() if a != b]:
        raise ValueError(
            f"`config` is not of the shape of `init`: {'; '.join(odd)}. Leave it out, or fit "
            "without `init`."
        )
    return shape


def start_from(init: STFlow, panel: Sequence[str], read: TrainingSlides, units: Units) -> Start:
    """Take over a model's flow, for slides that it has not seen.

    Raises
    ------
    ValueError
        The model reads other embeddings, tells expression in other units, or has seen a slide, so
        that nothing would be left to judge it by.

    Warns
    -----
    PatientsUnclear
        The model has seen other slides of a patient.
    """
    from stflow.model.training import Start

    require_same_recipe(read.recipe, init.encoder, what="the slides", other="`init`")
    width = read.slides[0].embedding.shape[1]
    if width != init.n_inputs:
        raise ValueError(f"The embeddings are {width} wide, those of `init` {init.n_inputs}.")
    if units != init.units:
        raise ValueError(
            f"`units` says {LABELS[units]}, but `init` predicts {LABELS[init.units]}. Pass "
            f"`units={init.units!r}`."
        )
    if set(read.info["digests"]) & set(init.info["digests"]):
        raise ValueError(
            f"`init` was trained on some of these slides (its own: "
            f"{listing(init.info['training'])}), so nothing would tell how well it predicts new "
            "ones. Leave them out, or fit all slides without `init`."
        )
    again = set(read.info["patients"].values()) & set(init.info["patients"].values())
    if again:
        warn(
            f"`init` was trained on other slides of {listing(sorted(again))}: the model's claims "
            "hold for more sections of these patients, not for new ones.",
            PatientsUnclear,
        )
    return Start(init.ensemble, init.genes, panel)


def with_origin(info: Mapping[str, Any], init: STFlow) -> dict[str, Any]:
    """Count the slides and patients of a model among those that one that starts from it knows."""
    old, taken = init.info, {*info["training"], *info["patients"]}
    names = {name: f"{name} (init)" if name in taken else name for name in old["training"]}
    patients = {names.get(name, name): patient for name, patient in old["patients"].items()}
    return {
        **info,
        "training": [*names.values(), *info["training"]],
        "patients": {**patients, **info["patients"]},
        "digests": [*old["digests"], *info["digests"]],
    }
