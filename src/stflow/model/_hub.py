"""The files of a model to the Hugging Face hub, and from it. No other file is ever downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from stflow.encoders import DOWNLOADERS
from stflow.model._files import METADATA, WEIGHTS, read_metadata

LOG_IN = "log in with your own token (`hf auth login`), or pass it as `token=`"
FORBIDDEN = (401, 403)
BROKEN = (ConnectionError, TimeoutError, RuntimeError)


def require_repo_id(repo_id: str) -> None:
    """Raise ``ValueError`` unless it is ``owner/name``, as the hub takes it."""
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise ValueError(f"{repo_id!r} is no repository of the hub: {error}") from error
    if repo_id.count("/") != 1:
        raise ValueError(f"{repo_id!r} is no repository of the hub, which is called 'owner/name'.")


def push(
    repo_id: str,
    files: dict[str, bytes],
    *,
    message: str,
    private: bool | None,
    revision: str | None,
    token: str | bool | None,
) -> str:
    """Write files to a repository in one commit, and return its address.

    A repository or branch that is not there is made.
    """
    api = HfApi(token=token, library_name="stflow")
    changes = [CommitOperationAdd(name, content) for name, content in files.items()]
    with _reaching(repo_id, revision):
        api.create_repo(repo_id, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        done = api.create_commit(repo_id, changes, commit_message=message, revision=revision)
    return str(done.commit_url)


def pull(
    repo_id: str, *, revision: str | None, token: str | bool | None, cache: str | Path | None
) -> Path:
    """Download the two files of a model, and return the folder that holds them.

    The small one comes first, so that nothing large comes from what is no model. Both are of one
    commit.
    """
    try:
        require_repo_id(repo_id)
    except ValueError as error:
        raise FileNotFoundError(f"No folder {repo_id}, and {error}") from error
    how: dict[str, Any] = {"cache_dir": cache, "token": token, "library_name": "stflow"}
    with _reaching(repo_id, revision, but=", nor a folder of that name"):
        described = Path(hf_hub_download(repo_id, METADATA, revision=revision, **how))
    folder = described.parent
    with naming(repo_id, folder):
        read_metadata(described)
    with _reaching(repo_id, revision):
        hf_hub_download(repo_id, WEIGHTS, revision=folder.name, **how)
    return folder


@contextmanager
def naming(repo_id: str, folder: Path) -> Iterator[None]:
    """Name the repository in what is wrong with its files."""
    try:
        yield
    except ValueError as error:
        raise ValueError(
            f"Repository {repo_id!r} holds no model that can be read: {error} Where a download is "
            f"to blame, delete {folder.parents[1]} and call again; else ask its owner, or name a "
            "`revision=`."
        ) from error


@contextmanager
def _reaching(repo_id: str, revision: str | None, but: str = "") -> Iterator[None]:
    """Turn what the hub answers into the exceptions of a missing, closed or distant file.

    ``but`` is what else is not there.
    """
    at = f"Repository {repo_id!r}" + ("" if revision is None else f" at {revision!r}")
    try:
        yield
    except GatedRepoError as error:
        raise PermissionError(
            f"{at} is gated: accept its terms at https://huggingface.co/{repo_id}, {LOG_IN}."
        ) from error
    except RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"No repository {repo_id!r} on the hub that is open to you{but}. Check the name; for a "
            f"private one, {LOG_IN}."
        ) from error
    except RevisionNotFoundError as error:
        raise FileNotFoundError(
            f"{at} is not there: the hub knows no such branch, tag or commit of it."
        ) from error
    except LocalEntryNotFoundError as error:
        raise _unreachable(at, error) from error
    except EntryNotFoundError as error:
        raise FileNotFoundError(
            f"{at} is no model of stflow, which is {METADATA} and {WEIGHTS}; `push_to_hub` writes "
            "one."
        ) from error
    except HfHubHTTPError as error:
        if error.response.status_code not in FORBIDDEN:
            raise _unreachable(at, error) from error
        raise PermissionError(f"{at} is closed to you: {_first_line(error)}; {LOG_IN}.") from error
    except Exception as error:
        came_from = {type(each).__module__.partition(".")[0] for each in (error, error.__cause__)}
        if not came_from.isdisjoint(DOWNLOADERS) or isinstance(error, BROKEN):
            raise _unreachable(at, error) from error
        raise


def _unreachable(at: str, error: Exception) -> ConnectionError:
    return ConnectionError(
        f"{at} cannot be reached: {_first_line(error)}. Call again where there is a network, and "
        "`HF_HUB_OFFLINE` is not set; a model that was read before is read from the cache."
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".:")
