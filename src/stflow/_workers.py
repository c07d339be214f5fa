"""Workers of dask.distributed that do as this process does."""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from stflow import __version__
from stflow._validation import listing

if TYPE_CHECKING:
    from distributed import Client, Future

DISTRIBUTION = "stflow-spatial"
T = TypeVar("T")


def require_workers(client: Client) -> None:
    """Refuse workers that would not do as this process does.

    Those that join later are not asked.

    Raises
    ------
    RuntimeError
        Some lack stflow or have another version.
    TypeError
        ``client`` is no client.
    ValueError
        Some have several threads, where work of ours fills a process.
    """
    from distributed import Client

    if not isinstance(client, Client):
        raise TypeError(
            f"`client` is a {type(client).__name__}, not a `dask.distributed.Client`: "
            "`Client(cluster)` makes one."
        )
    found = client.run(version, DISTRIBUTION, on_error="return")
    odd = [
        f"{address} has {'none' if isinstance(told, Exception) else told}"
        for address, told in found.items()
        if told != __version__
    ]
    if odd:
        raise RuntimeError(
            f"{len(odd)} of {len(found)} workers have no stflow {__version__}: "
            f"{listing(odd)}. Start them where this version is installed."
        )
    threads = client.nthreads()
    if many := [f"{address} has {n}" for address, n in threads.items() if n > 1]:
        raise ValueError(
            f"A worker takes one thing at a time, and these have several threads: {listing(many)}. "
            "Start workers of one, such as `LocalCluster(threads_per_worker=1)` or `dask worker "
            "--nthreads 1`."
        )


def share(client: Client, value: Any) -> Future:
    """Leave a value with the scheduler, which hands it to each worker once, and to new ones."""
    return client.submit(_same, value, key=f"shared-{uuid4().hex}", pure=False)


def in_process() -> AbstractContextManager[Any]:
    """Compute what dask holds by threads of this process.

    Inside a task dask would hand it to the scheduler, and begin another task meanwhile.
    """
    import dask

    return dask.config.set(scheduler="threads")


def _same(value: T) -> T:
    return value
