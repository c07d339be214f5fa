"""One digest of arrays."""

from __future__ import annotations

import numpy as np

from stflow import _digest
from stflow._digest import digest


def test_digest_depends_on_values_shape_and_type_not_on_layout(monkeypatch) -> None:
    array = np.arange(12.0).reshape(4, 3)
    known = digest(iter([array]))
    assert known == digest(iter([np.asfortranarray(array)]))
    changed = [array.reshape(3, 4), array.astype(np.float32), array[::-1], array[:3]]
    found = {digest(iter([each])) for each in changed} | {digest(iter([array, array[:0]])), known}
    assert len(found) == 6
    monkeypatch.setattr(_digest, "ROWS_AT_ONCE", 3)
    assert known == digest(iter([array]))
