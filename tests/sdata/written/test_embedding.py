"""An embedding and its recipe, and what stands in their way."""

from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData

from stflow._sdata.written import require_new_embedding, write_embedding


def test_the_recipe_gets_the_width():
    table, recipe = AnnData(shape=(3, 0)), {"encoder": "mine"}
    write_embedding(table, "X_mine", np.ones((3, 5), np.float32), recipe)
    assert table.obsm["X_mine"].shape == (3, 5)
    assert table.uns["X_mine"] == {"encoder": "mine", "width": 5}
    assert recipe == {"encoder": "mine"}


@pytest.mark.parametrize("kind", ["obsm", "uns"])
def test_either_of_the_two_is_in_the_way(kind: str):
    table = AnnData(shape=(3, 0))
    getattr(table, kind)["X_mine"] = np.ones((3, 1)) if kind == "obsm" else {}
    with pytest.raises(ValueError, match=r"T already holds 'X_mine'.*`key_added=`.*`overwrite=T"):
        require_new_embedding(table, "X_mine", overwrite=False, where="T")
    require_new_embedding(table, "X_mine", overwrite=True, where="T")
    require_new_embedding(table, "X_other", overwrite=False, where="T")
