"""One flow that several processes train, by lightning's strategies: a share of each step each."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor
from torch.multiprocessing.spawn import ProcessException

from stflow._random import seed_torch
from stflow._runs import RunFolder
from stflow.model.training._board import Board
from stflow.model.training._lightning import fit_or_interrupt, start_at
from stflow.model.training._plan import FlowTraining
from stflow.model.training._sharing import on_interrupt
from stflow.model.training._state import FlowState, how_to_resume


class SharedTraining(FlowTraining):
    """Trains with others: a step's gradient is that of one process with all crops of the step.

    Figures are the same in all processes, so that all stop after the same epoch; the first alone
    writes. Ctrl-C, wherever it is heard, stops all after the same step.

    Parameters
    ----------
    board
        Where this process looks whether to stop, and the first one tells of its epochs.
    what, how
        As `FlowTraining` takes them.

    Attributes
    ----------
    here
        Whether this process trained, and did not have others do it.
    interrupted
        Whether training was cut short.
    """

    def __init__(self, *what: Any, board: Board, **how: Any) -> None:
        super().__init__(*what, **how)
        self.board, self.here, self.interrupted = board, False, False

    def on_fit_start(self) -> None:
        """Check that all go on from the same epoch."""
        self.here = True
        self._hear_interrupts()
        first = self.trainer.strategy.broadcast(len(self.rows))
        if first != len(self.rows):
            raise ValueError(
                f"The first process resumes after {first} epochs, this one after "
                f"{len(self.rows)}. Put the folder `resume` where all processes see it."
            )

    def _hear_interrupts(self) -> None:
        """Let Ctrl-C stop all; a process that was spawned would just leave the others waiting."""
        spawned = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if spawned and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, lambda *_: self.board.ask_to_stop())

    def over_all(self, loss: Tensor, n_spots: int, index: int) -> tuple[Tensor, int, float]:
        """Weigh the loss of this process by its spots, since gradients are averaged."""
        loader: Any = self.trainer.train_dataloader
        n_spots *= loader.batch_sampler.counts(index)
        total, n_all = self._sum(float(loss.detach()) * n_spots, n_spots)
        share = n_spots * self.trainer.world_size / n_all
        return loss.new_tensor(total / n_all), int(n_all), share

    def _sum(self, *mine: float) -> list[float]:
        """Sum over all processes, and stop when one of them was asked to."""
        told = torch.tensor([*mine, float(self.board.asked_to_stop)], device=self.device)
        torch.distributed.all_reduce(told)
        *sums, asked = told.tolist()
        if asked:
            self.interrupted = self.trainer.should_stop = True
        return sums

    def on_train_epoch_start(self) -> None:
        """Give each process a dropout of its own; that of the first is as if it were alone."""
        super().on_train_epoch_start()
        if rank := self.trainer.global_rank:
            words = np.random.SeedSequence((self.seed, self.current_epoch, rank))
            seed_torch(int(words.generate_state(1, np.uint64)[0] >> 1), self.device)

    def on_train_epoch_end(self) -> None:
        """Note the epoch, if it is whole."""
        if self.interrupted:
            return
        super().on_train_epoch_end()
        if self.trainer.is_global_zero:
            self.board.note(0, self.rows[-1])
        self.trainer.strategy.barrier()

    def on_train_end(self) -> None:
        """Hear who was asked to stop after the last step."""
        self._sum()

    def save(self) -> None:
        """Save in the first process."""
        if self.trainer.is_global_zero:
            super().save()


def run_together(
    trainer: pl.Trainer,
    make: Callable[..., Any],
    saved: FlowState | None,
    *loaders: Any,
    bar: Mapping[str, Any],
) -> tuple[SharedTraining, bool]:
    """Train as one of several processes, or have new ones do it.

    Returns
    -------
    What was trained, and whether Ctrl-C cut it short.

    Raises
    ------
    RuntimeError
        A process died.
    """
    hint = how_to_resume(saved)
    with Board.open() as board:
        if saved is None:
            saved = FlowState(RunFolder(board.path / "state", "fit", "resume"), 0)
        module: SharedTraining = make(saved=saved, board=board)
        done = len(module.rows)
        start_at(trainer, done)
        shown = {**bar, "total": trainer.max_epochs, "initial": done}
        shown["disable"] |= trainer.global_rank > 0
        with board.bars({0: shown}), on_interrupt(board.ask_to_stop):
            twice = _run(trainer, module, *loaders, hint=hint)
        if not module.here:
            found = FlowState.read(saved.folder, saved.flow)
            if found.rows:
                module.restore(found)
            return module, twice or board.asked_to_stop
    return module, twice or module.interrupted


def _run(trainer: pl.Trainer, module: SharedTraining, *loaders: Any, hint: str) -> bool:
    """Run ``trainer.fit``, and say what to do when another process died."""
    try:
        with _tensors_by_files():
            return fit_or_interrupt(trainer, module, *loaders)
    except (ProcessException, RuntimeError) as error:
        if isinstance(error, ProcessException) and module.board.asked_to_stop:
            return True
        if isinstance(error, ProcessException):
            raise RuntimeError(
                f"A process that trained ended before its work was done. {hint} ({error})"
            ) from error
        error.add_note(f"Perhaps another process that trained has died. {hint}")
        raise
    finally:
        if trainer.strategy.launcher is not None and not module.here:
            trainer.strategy.launcher.kill(signal.SIGKILL)


@contextmanager
def _tensors_by_files() -> Iterator[None]:
    """Hand tensors to spawned processes by name; a descriptor of each may not arrive."""
    before = torch.multiprocessing.get_sharing_strategy()
    torch.multiprocessing.set_sharing_strategy("file_system")
    try:
        yield
    finally:
        torch.multiprocessing.set_sharing_strategy(before)
