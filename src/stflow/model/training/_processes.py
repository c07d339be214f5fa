"""Whether the processes that a fit is asked for can train together, known before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from stflow._validation import listing

if TYPE_CHECKING:
    import lightning.pytorch as pl

OF_LIGHTNING = ("strategy", "devices", "num_nodes", "accelerator", "plugins")
KNOWN = ("ddp", "ddp_spawn", "ddp_notebook", "ddp_fork")


def require_processes(
    devices: Sequence[torch.device], batch_size: int, trainer_kwargs: Mapping[str, Any]
) -> None:
    """Check the devices that whole flows go to, or the processes that share each step of a flow.

    Raises
    ------
    ValueError
        Both are asked for, devices are of different kinds, or what ``trainer_kwargs`` ask for is
        not there, cannot train a flow, or has more processes than a step has crops.
    """
    if len(devices) > 1:
        _require_flows(devices, [name for name in OF_LIGHTNING if name in trainer_kwargs])
    elif {*OF_LIGHTNING} & trainer_kwargs.keys():
        _require_steps(devices[0], batch_size, trainer_kwargs)


def _require_flows(devices: Sequence[torch.device], given: list[str]) -> None:
    if given:
        raise ValueError(
            f"`device` names {len(devices)} devices, each of which trains flows of its own; but "
            f"`trainer_kwargs` holds {listing(given)}, by which processes train each flow "
            "together. Leave out one of the two."
        )
    if len({device.type for device in devices}) > 1:
        raise ValueError(
            f"`device` names devices of different kinds: {listing(devices)}. Flows would depend on "
            "which one trains them; name devices of one kind."
        )


def _require_steps(
    device: torch.device, batch_size: int, trainer_kwargs: Mapping[str, Any]
) -> None:
    from lightning.fabric.utilities.exceptions import MisconfigurationException
    from lightning.pytorch.strategies import DDPStrategy

    from stflow.model.training._lightning import is_alone, quiet_lightning
    from stflow.model.training._loop import make_trainer

    try:
        with quiet_lightning():
            trainer = make_trainer(device, 1, [], trainer_kwargs)
    except (MisconfigurationException, ImportError) as error:
        raise ValueError(f"`trainer_kwargs` cannot be met: {error}") from error
    if is_alone(trainer):
        return
    if not isinstance(trainer.strategy, DDPStrategy):
        raise ValueError(
            f"{type(trainer.strategy).__name__} cannot train a flow; the strategies that can: "
            f"{listing(KNOWN)}."
        )
    _require_no_fork(trainer)
    if batch_size < trainer.world_size:
        raise ValueError(
            f"`batch_size` is {batch_size}, but {trainer.world_size} processes share the crops of "
            f"a step. Pass `batch_size={trainer.world_size}` or more, or several devices as "
            "`device=`, each of which trains flows of its own."
        )


def _require_no_fork(trainer: pl.Trainer) -> None:
    """Raise ``ValueError`` where processes would be forked that cannot use the device."""
    launcher = trainer.strategy.launcher
    forks = launcher is not None and launcher.is_interactive_compatible
    if forks and trainer.strategy.root_device.type == "cuda":
        raise ValueError(
            "Processes that are forked cannot use CUDA. In a notebook pass several devices as "
            '`device=`, such as `device=("cuda:0", "cuda:1")`; in a script, strategy "ddp".'
        )
