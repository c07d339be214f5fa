"""Which of the things that a file says of its scale is believed."""

from __future__ import annotations

import pytest

from stflow.images.files._scale import Claim, Scale, believe, described, to_number

DPI = Claim((352.78, 352.78), "resolution tags")
OME = Claim((0.25, 0.5), "OME-XML")


def test_the_first_that_a_scanner_may_have() -> None:
    assert believe([OME, Claim((0.5, 0.5), "other")]) == Scale((0.25, 0.5), "OME-XML")
    assert believe([DPI, OME]) == Scale((0.25, 0.5), "OME-XML")
    assert believe([]) == Scale(None, "", "")


@pytest.mark.parametrize("wrong", [0.0274, 0.049, 20.1, 352.78])
def test_what_no_scanner_has_says_nothing_and_is_kept_in_words(wrong: float) -> None:
    for um in ((wrong, wrong), (0.5, wrong), (wrong, 0.5)):
        scale = believe([Claim(um, "scanner")])
        assert scale.um is None
        assert f"{wrong:.4g}" in scale.doubtful
    both = believe([Claim((wrong, wrong), "scanner"), DPI]).doubtful
    assert both == f"scanner says {wrong:.4g} um, resolution tags says 352.8 um"


@pytest.mark.parametrize("edge", [0.05, 20.0])
def test_the_bounds_are_believed(edge: float) -> None:
    assert believe([Claim((edge, edge), "scanner")]).um == (edge, edge)


def test_numbers_in_text() -> None:
    assert to_number("0.25") == 0.25
    assert [to_number(text) for text in (None, "", "many", "0", "-1", "nan", "inf")] == [None] * 7
    aperio = "Aperio Image Library v11\r\n46000x32914 |AppMag = 20|StripeWidth = 2040|MPP = 0.4990"
    assert described(aperio, r"\bMPP\s*=") == 0.499
    assert described(aperio, r"\bAppMag\s*=") == 20
    assert described("MPP = unknown", r"\bMPP\s*=") is None
    assert described("TEMPP = 3", r"\bMPP\s*=") is None
