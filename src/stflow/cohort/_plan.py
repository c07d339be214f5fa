"""What is the same for all slides of a run: the model, its encoder, and how it is applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any, Self

from stflow import __version__
from stflow._device import resolve_device
from stflow._digest import tensors_digest
from stflow._sdata import same_word
from stflow._sdata.places import Lattice
from stflow._validation import require_count, require_seed
from stflow.cohort._manifest import require_word
from stflow.encoders import Encoder, encoder_of
from stflow.model import STFlow

COMPARED = ("encoder", "weights_sha256", "mean", "std", "dihedral")
LOOK = {"area": ("widths_um", "mpp", "outlines"), "tiles": ("mpp", "tile_px")}
COUNTS = ("n_neighs", "n_samples", "n_steps")
SPOTS = ("image_mpp", "pitch_um", "lattice")
OTHERS = ("artifacts", "seed", "keep_image")
PITCH_UM = 100.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How every slide is treated.

    Parameters
    ----------
    model
        Folder of the model.
    digest
        Of what the model learned, so that another one put there under way is not taken for it.
    encoder
        Name of the encoder, or the encoder itself.
    image_mpp, pitch_um, lattice
        Of slides whose row does not say it.
    n_neighs, artifacts, n_samples, n_steps, seed, keep_image, device
        As `run` takes them.
    version
        Of stflow, where the run was begun.
    """

    model: Path
    digest: str
    encoder: str | Encoder
    image_mpp: float | None
    pitch_um: float | None
    lattice: Lattice
    n_neighs: int
    artifacts: bool
    n_samples: int
    n_steps: int
    seed: int
    keep_image: bool
    device: str
    version: str

    @classmethod
    def make(
        cls,
        model: STFlow | str | PathLike[str],
        encoder: Any,
        *,
        keeping: Path,
        **how: Any,
    ) -> tuple[Self, STFlow]:
        """Check model, encoder and arguments, and return also the model.

        Parameters
        ----------
        model
            The model, or its folder.
        encoder
            What encodes; None: as the model names it.
        keeping
            Where a model goes that has no folder.
        **how
            All else.

        Raises
        ------
        FileNotFoundError
            There is no such folder.
        TypeError
            ``model`` is none.
        ValueError
            The encoder is another one or cannot be had, or an argument is out of its range.
        """
        _require_words(how)
        if not isinstance(model, STFlow | str | PathLike):
            raise TypeError(
                f"`model` is a {type(model).__name__}, neither an STFlow nor the folder of one."
            )
        place = keeping if isinstance(model, STFlow) else Path(model).absolute()
        fitted = model if isinstance(model, STFlow) else STFlow.load(place)
        embed_words(fitted.encoder)
        encoder = fitted.encoder["encoder"] if encoder is None else encoder
        ready = own_encoder(fitted, encoder)
        kept = encoder if isinstance(encoder, str) else ready
        return cls(place, model_digest(fitted), kept, version=__version__, **how), fitted

    def load(self) -> tuple[STFlow, Encoder]:
        """Return model and encoder; they are read once a process.

        Raises
        ------
        ValueError
            The model is not the one that the run was begun with, or not of this encoder.
        """
        model = _load(self.model, self.digest)
        if not isinstance(self.encoder, str):
            return model, self.encoder
        return model, _encoder_of(self.model, self.digest, self.encoder)

    def ready(self, model: STFlow) -> Encoder:
        """Return the encoder of a model that is at hand."""
        return own_encoder(model, self.encoder)

    def identity(self) -> dict[str, Any]:
        """Return what results depend on, as plain values."""
        told = {word: getattr(self, word) for word in (*COUNTS, *SPOTS, *OTHERS)}
        return {"model": self.digest, **told}


def _require_words(how: Mapping[str, Any]) -> None:
    for name in COUNTS:
        require_count(how[name], name=name)
    require_seed(how["seed"])
    resolve_device(how["device"])
    for name in SPOTS:
        if how[name] is not None:
            require_word(name, how[name], name)


def model_digest(model: STFlow) -> str:
    """Return the digest of what a model learned."""
    tensors = model.ensemble.state_dict()
    return tensors_digest(tensors[name] for name in sorted(tensors))


@lru_cache(maxsize=1)
def _load(path: Path, digest: str) -> STFlow:
    model = STFlow.load(path)
    if model_digest(model) != digest:
        raise ValueError(f"The model at {path} is no longer that of this run.")
    return model


@lru_cache(maxsize=1)
def _encoder_of(path: Path, digest: str, name: str) -> Encoder:
    return own_encoder(_load(path, digest), name)


def embed_words(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `embed` that make what a model reads, but for the encoder.

    Raises
    ------
    ValueError
        The model reads embeddings that `embed` did not make.
    """
    how = recipe.get("how")
    if how not in LOOK or "encoder" not in recipe:
        raise ValueError(
            "The model was fitted on embeddings made elsewhere, which cannot be made of other "
            "slides here. Apply it with `stf.pp.use_embedding` and `stf.tl.predict`."
        )
    return {"how": how, **{word: recipe[word] for word in LOOK[how] if word in recipe}}


def own_encoder(model: STFlow, encoder: Any) -> Encoder:
    """Return the encoder that a model reads, ready.

    Parameters
    ----------
    model
        The model.
    encoder
        Name, or what encodes.

    Raises
    ------
    ValueError
        It cannot be had, or is another one.
    """
    recipe, found = model.encoder, encoder
    if not isinstance(encoder, Encoder):
        try:
            found = encoder_of(recipe, encoder)
        except (ImportError, OSError, ValueError) as error:
            told = encoder if isinstance(encoder, str) else "this encoder"
            raise ValueError(
                f"The model reads embeddings of {recipe['encoder']!r}, and {told!r} cannot be had: "
                f"{error} Pass what encodes as `encoder=`."
            ) from error
    ours = found.recipe()
    if odd := [name for name in COMPARED if not same_word(name, ours, recipe)]:
        mine, theirs = (
            ", ".join(f"{name}={each[name]!r}" for name in odd) for each in (ours, recipe)
        )
        raise ValueError(
            f"The model reads another encoder ({theirs}) than this one ({mine}). Pass that of its "
            "fit as `encoder=`."
        )
    return found
