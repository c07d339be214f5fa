"""What a fitted model is made of, and how it is written, read and handed on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import pandas as pd

from stflow._units import Units
from stflow.model import _files
from stflow.model._config import Config
from stflow.model._described import describe
from stflow.model._ensemble import Ensemble
from stflow.model._nameless import without_names


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Portable:
    """The parts of an `STFlow`, which says what each is."""

    genes: tuple[str, ...]
    encoder: dict[str, Any]
    config: Config
    history: pd.DataFrame
    trust: pd.DataFrame
    ensemble: Ensemble
    info: dict[str, Any]

    def __repr__(self) -> str:
        return describe(self)

    @property
    def units(self) -> Units:
        """Units of the expression, ``"cp10k"`` or ``"counts"``."""
        return self.info["units"]

    @property
    def pitch_um(self) -> float | None:
        """Micrometres between spots of the fit, for :func:`stflow.pp.neighbors`; None: unknown."""
        return self.info["pitch_um"]

    @property
    def n_inputs(self) -> int:
        """Width F of the embeddings that the model reads."""
        return self.ensemble.sizes["n_inputs"]

    def save(self, path: str | Path, *, overwrite: bool = False, names: bool = True) -> None:
        """Write the model to a folder: ``model.safetensors`` and ``model.json``.

        Parameters
        ----------
        path
            The folder to make.
        overwrite
            Replace a model that is there.
        names
            Whether the folder may name slides and patients; else numbers stand in their place, for
            a folder that leaves the house.

        Raises
        ------
        FileExistsError
            Something is there already.
        ValueError
            The recipe of the embedding holds names or paths that ``names=False`` cannot leave out.
        """
        written = self if names else self._nameless()
        _files.write(Path(path), written._packed, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model that `save` wrote; it predicts bit-identically.

        Parameters
        ----------
        path
            The folder.

        Returns
        -------
        The model, on the CPU.

        Raises
        ------
        FileNotFoundError
            The folder or one of its files is not there.
        ValueError
            A file is damaged, or not written by stflow.
        """
        tensors, metadata = _files.read(Path(path))
        try:
            config = Config(**metadata["config"])
            ensemble = Ensemble.empty(metadata["sizes"], config)
            ensemble.load_state_dict(tensors)
            history = pd.DataFrame(metadata["history"])
            _files.require_whole(metadata, history, ensemble.sizes["n_genes"])
            return cls(
                genes=tuple(metadata["genes"]),
                encoder=metadata["encoder"],
                config=config,
                history=history,
                trust=pd.DataFrame(metadata["trust"], pd.Index(metadata["genes"], name="gene")),
                ensemble=ensemble,
                info=metadata["info"],
            )
        except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"{path} is not a whole stflow model: {error}") from error

    def push_to_hub(
        self,
        repo_id: str,
        *,
        tissue: str | None = None,
        licence: str | None = None,
        names: bool = False,
        private: bool | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        commit_message: str = "Upload a model of stflow",
    ) -> str:
        """Put the model on the Hugging Face hub, with a card that says what it is and can do.

        One commit of three files: those of `save`, and ``README.md``, written from what the model
        knows. A model and a card that the repository holds are replaced; its history keeps them.

        Parameters
        ----------
        repo_id
            The repository, ``"owner/name"``; made where there is none.
        tissue
            What the slides show, for the card, such as ``"HER2-positive breast tumours"``. None:
            the card says that it is not said.
        licence
            Of the model, as the hub writes it, such as ``"cc-by-nc-4.0"``. None: the card names
            none, but that of the encoder.
        names
            Whether slides and patients may be named; else numbers stand in their place, in every
            file.
        private
            Whether a new repository is private. None: as the owner's account has it, which is
            mostly public.
        revision
            Branch to write to; made where there is none. None: the main one.
        token
            Yours for the hub. None: that of ``hf auth login``.
        commit_message
            What the history of the repository says.

        Returns
        -------
        Address of the commit.

        Raises
        ------
        ValueError
            ``repo_id`` is no ``owner/name``; or the recipe of the embedding holds names or paths
            that cannot be left out.
        FileNotFoundError, PermissionError
            There is no such repository for you, or you may not write to it.
        ConnectionError
            The hub cannot be reached.

        Examples
        --------
        >>> model.push_to_hub("lab/her2", tissue="breast tumours")  # doctest: +SKIP
        """
        from stflow.model._hub import push, require_repo_id
        from stflow.model._model_card import write_card

        require_repo_id(repo_id)
        pushed = self if names else self._nameless()
        card = write_card(pushed, repo_id, tissue=tissue, licence=licence, names=names)
        files = {**pushed._packed, "README.md": card.encode()}
        return push(
            repo_id,
            files,
            message=commit_message,
            private=private,
            revision=revision,
            token=token,
        )

    @classmethod
    def from_pretrained(
        cls,
        repo_or_folder: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache: str | Path | None = None,
    ) -> Self:
        """Read a model from the Hugging Face hub, or from a folder.

        Of a repository, ``model.json`` and ``model.safetensors`` are downloaded and nothing else,
        once; neither can run code. What was downloaded before needs no network.

        Parameters
        ----------
        repo_or_folder
            A folder that `save` wrote, or a repository, ``"owner/name"``, that `push_to_hub` wrote.
        revision
            Branch, tag or commit of a repository. None: the main branch as it is now.
        token
            Yours for the hub, for private and gated repositories. None: that of ``hf auth login``.
        cache
            Folder for downloads. None: the hub's own, which ``HF_HOME`` moves.

        Returns
        -------
        The model, on the CPU.

        Raises
        ------
        FileNotFoundError
            There is no such folder, no such repository for you, no such revision, or no model in
            it.
        PermissionError
            The repository is gated, and access not granted to you.
        ValueError
            The model is damaged, of a newer format, or not one of stflow; or ``revision`` of a
            folder.
        ConnectionError
            The hub cannot be reached, and the model was not downloaded before.

        Examples
        --------
        >>> model = stf.STFlow.from_pretrained("lab/her2", revision="v1")  # doctest: +SKIP
        """
        if Path(repo_or_folder).is_dir():
            if revision is not None:
                raise ValueError(f"{repo_or_folder} is a folder; leave out `revision=`.")
            return cls.load(repo_or_folder)
        from stflow.model._hub import naming, pull

        folder = pull(str(repo_or_folder), revision=revision, token=token, cache=cache)
        with naming(str(repo_or_folder), folder):
            return cls.load(folder)

    def _nameless(self) -> Self:
        """Return the model with numbers instead of the names of slides and patients."""
        encoder, info = without_names(self.encoder, self.info)
        return replace(self, encoder=encoder, info=info)

    @property
    def _packed(self) -> dict[str, bytes]:
        """The files of the model, by name."""
        metadata = {
            "genes": list(self.genes),
            "encoder": self.encoder,
            "config": self.config.to_dict(),
            "history": self.history.to_dict(orient="list"),
            "trust": self.trust.to_dict(orient="list"),
            "sizes": self.ensemble.sizes,
            "info": self.info,
        }
        return _files.packed(self.ensemble.state_dict(), metadata)
