"""Weights from the hub, gated ones with the user's own token only; errors that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import get_token, try_to_load_from_cache

from stflow._validation import warn
from stflow.encoders._card import Card

DOWNLOADERS = ("httpx", "httpx2", "huggingface_hub", "requests")
ELSEWHERE = (
    "Download the weights where there is a network (a gated model also needs your own token: "
    "`hf auth login`) and pass the file as `weights=`."
)
_told: set[str] = set()


class LicenceNotice(UserWarning):
    """Says, once a process, under which terms an encoder's weights may be used."""


def show_licence(card: Card) -> None:
    """Warn once of a licence that does not let anybody use the encoder for anything."""
    if card.is_open or card.name in _told:
        return
    _told.add(card.name)
    message = f"Encoder {card.name!r}: its weights are under {card.licence}; see {card.url}."
    warn(message, LicenceNotice)


@contextmanager
def from_hub(name: str, card: Card | None = None) -> Iterator[None]:
    """Turn what goes wrong while downloading into one ``OSError``.

    Parameters
    ----------
    name
        What messages call the encoder.
    card
        Its card. Without one nothing is known of it.

    Raises
    ------
    OSError
        The encoder is gated and there is no token, or the weights cannot be had.
    """
    gated = card is not None and card.gated
    if card is not None and gated and get_token() is None and not _is_cached(card):
        raise OSError(f"No token for encoder {name!r}, which is gated. {_access(card)}")
    try:
        yield
    except Exception as error:
        origin = type(error).__module__.partition(".")[0]
        if not isinstance(error, OSError) and origin not in DOWNLOADERS:
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        way_out = _access(card) if card is not None and gated else ELSEWHERE
        raise OSError(f"Could not get encoder {name!r} from the hub: {reason}. {way_out}") from None


def _access(card: Card) -> str:
    return (
        f"Request access at {card.url}, log in with your own token (`hf auth login`), and call "
        "again where there is a network; or pass a file with its weights as `weights=`."
    )


def _is_cached(card: Card) -> bool:
    return isinstance(try_to_load_from_cache(card.source, "config.json"), str)
