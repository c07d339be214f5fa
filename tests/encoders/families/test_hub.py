"""The hub: gates, tokens, networks that are not there, licences told once."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import pytest
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError

from stflow.encoders import LicenceNotice
from stflow.encoders._card import Card
from stflow.encoders.families import _hub as hub
from stflow.encoders.families._hub import from_hub, show_licence


def card(**kwargs) -> Card:
    given = {"name": "fake", "family": "vit", "source": "owner/fake", "width": 3, "licence": "MIT"}
    return Card(**{**given, **kwargs})


@pytest.fixture
def token(monkeypatch):
    """Sets the user's token; by default there is none, and nothing is cached."""

    def give(value, cached=None):
        monkeypatch.setattr(hub, "get_token", lambda: value)
        monkeypatch.setattr(hub, "try_to_load_from_cache", lambda source, name: cached)

    give(None)
    return give


ASK = r"gated\. Request access at https://huggingface\.co/owner/fake, .*`hf auth login`.*weights"
NOT_OPEN = r"'fake' from the hub: 403 Client Error\. Request access at"
OFFLINE = r"'fake' from the hub: offline\. Download .*`weights=`"


def test_a_gated_encoder_is_not_asked_for_without_a_token(token):
    match = f"No token for encoder 'fake', which is {ASK}"
    with pytest.raises(OSError, match=match), from_hub("fake", card(gated=True)):
        pytest.fail("asked")


def test_a_token_or_a_cached_copy_opens_the_gate(token):
    opened = []
    token("hf_mine")
    with from_hub("fake", card(gated=True)):
        opened.append("token")
    token(None, cached="/cache/config.json")
    with from_hub("fake", card(gated=True)):
        opened.append("cache")
    token(None)
    with from_hub("fake", card(gated=False)):
        opened.append("free")
    assert opened == ["token", "cache", "free"]


def refusal() -> GatedRepoError:
    response = SimpleNamespace(headers={}, request=None)
    return GatedRepoError("403 Client Error.\n\nCannot access gated repo", response=response)


def test_a_token_without_access_is_told_where_to_ask(token):
    token("hf_mine")
    with pytest.raises(OSError, match=NOT_OPEN), from_hub("fake", card(gated=True)):
        raise refusal()


class ReadTimeout(Exception):
    """As the libraries that download raise it: no OSError."""


ReadTimeout.__module__ = "httpx"


@pytest.mark.parametrize("kind", [LocalEntryNotFoundError, ConnectionError, ReadTimeout])
def test_without_a_network_the_message_is_short_and_says_what_to_do(kind, token):
    with pytest.raises(OSError, match=OFFLINE) as told, from_hub("fake", card()):
        raise kind("offline\nand much more")
    assert type(told.value) is OSError
    assert told.value.__suppress_context__


def test_other_errors_stay_what_they_are(token):
    with pytest.raises(RuntimeError, match="size mismatch"), from_hub("fake", card()):
        raise RuntimeError("size mismatch")


def test_a_licence_is_told_once_and_only_where_it_restricts(monkeypatch):
    monkeypatch.setattr(hub, "_told", set())
    restricted = card(licence="CC-BY-NC-ND-4.0")
    with pytest.warns(LicenceNotice, match=r"'fake'.* CC-BY-NC-ND-4\.0; see https://.*owner/fake"):
        show_licence(restricted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        show_licence(restricted)
        show_licence(card(name="open"))
    with pytest.warns(LicenceNotice, match="'other'"):
        show_licence(card(name="other", licence="GPL-3.0"))
