"""When figures are shown, saved and returned."""

from __future__ import annotations

import pytest
from matplotlib import pyplot as plt

from stflow.pl import _figure


@pytest.fixture
def shown(monkeypatch) -> list[bool]:
    """Calls of ``plt.show``."""
    calls: list[bool] = []
    monkeypatch.setattr(plt, "show", lambda: calls.append(True))
    return calls


@pytest.mark.parametrize(
    ("screen", "how", "is_shown", "is_returned"),
    [
        (True, {}, True, False),
        (False, {}, False, True),
        (True, {"return_ax": True}, False, True),
        (True, {"given": True}, False, True),
        (True, {"show": False}, False, True),
        (False, {"show": True}, True, False),
        (False, {"show": True, "return_ax": True}, True, True),
    ],
)
def test_show_and_return(monkeypatch, shown, screen, how, is_shown, is_returned):
    monkeypatch.setattr(_figure, "can_show", lambda: screen)
    axes = plt.subplots()[1]
    options = {"given": False, "show": None, "save": None, "return_ax": False, **how}
    result = _figure.finish(axes, **options)
    assert bool(shown) is is_shown
    assert (result is axes) is is_returned
    assert (result is None) is not is_returned


def test_saving_is_instead_of_showing(monkeypatch, shown, tmp_path):
    monkeypatch.setattr(_figure, "can_show", lambda: True)
    axes = plt.subplots(1, 2)[1].tolist()
    file = tmp_path / "figure.png"
    assert _figure.finish(axes, given=False, show=None, save=file, return_ax=False) is axes
    assert file.stat().st_size > 0
    assert shown == []


def test_only_backends_with_a_reader_can_show(monkeypatch):
    assert not _figure.can_show()
    for backend, answer in {"pdf": False, "QtAgg": True, "inline": True}.items():
        monkeypatch.setattr("matplotlib.get_backend", lambda backend=backend: backend)
        assert _figure.can_show() is answer


def test_given_axes_are_drawn_in():
    axes = plt.subplots()[1]
    assert _figure.one_axes(axes, figsize=(1, 1), dpi=None, title="Here") is axes
    assert axes.get_title() == "Here"
    other = _figure.one_axes(None, figsize=(3, 2), dpi=50, title=None)
    assert other.figure.get_size_inches().tolist() == [3, 2]
    assert other.figure.dpi == 50


def test_files_of_lines_are_fit_for_print(monkeypatch, tmp_path):
    axes = plt.subplots(dpi=60)[1]
    used = []
    monkeypatch.setattr(axes.figure, "savefig", lambda *_, dpi, **__: used.append(dpi))
    for name in ("a.png", "a.pdf", "a.SVG"):
        _figure.finish(axes, given=False, show=None, save=tmp_path / name, return_ax=False)
    axes.figure.set_dpi(600)
    _figure.finish(axes, given=False, show=None, save=str(tmp_path / "a.svg"), return_ax=False)
    assert used == [60, 300, 300, 600]
