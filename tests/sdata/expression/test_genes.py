"""One name for two genes, and two names for one."""

from __future__ import annotations

import re
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from support import SMALL

import stflow as stf
from stflow._sdata.expression._genes import clashes, gene_ids, naming_hint

SAME = {"GENE001": "ENSG1", "GENE002": "ENSG2.5", "GENE003": np.nan}
OTHER = {"GENE001": "ENSG1.7", "GENE002": "ENSG9", "GENE003": "ENSG3"}


def ids(known: dict[str, object], column: str = "gene_ids") -> pd.DataFrame:
    return pd.DataFrame({column: list(known.values())}, index=list(known))


def table(known: dict[str, object], column: str = "gene_ids") -> AnnData:
    return AnnData(np.ones((4, len(known)), np.float32), var=ids(known, column))


def with_ids(slides: dict, **known: dict[str, object]) -> dict:
    for name, each in known.items():
        var = slides[name]["table"].var
        var["gene_ids"] = [each.get(gene, np.nan) for gene in var.index]
    return slides


@pytest.mark.parametrize("column", ["gene_ids", "gene_id", "ensembl_id", "Ensembl", "ENSEMBL_ID"])
def test_ids_without_versions(column: str) -> None:
    found = gene_ids(table({**SAME, "GENE004": "", "GENE005": "GENE005"}, column))
    assert dict(found) == {"GENE001": "ENSG1", "GENE002": "ENSG2"}
    assert gene_ids(table(SAME, "feature_types")).empty


def test_ids_of_one_kind_are_compared() -> None:
    """Negative controls: versions, unknown ids, and numbers of another catalogue."""
    known = {name: gene_ids(table(each)) for name, each in (("x", SAME), ("y", OTHER))}
    assert clashes(known) == {"GENE002": "GENE002 is ENSG2 in x and ENSG9 in y"}
    assert clashes(known, ["GENE001", "GENE003"]) == {}
    known["y"] = gene_ids(table({"GENE001": "60", "GENE002": "6941"}))
    assert clashes(known) == {}
    assert clashes({"x": pd.Series(dtype=object)}) == {}


@settings(max_examples=50)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.sampled_from("123")), max_size=4))
def test_a_gene_clashes_where_its_ids_are_not_one(slides: list[dict[str, str]]) -> None:
    known = {str(k): pd.Series(each, dtype=object) for k, each in enumerate(slides)}
    several = {g for g in "abc" if len({each[g] for each in slides if g in each}) > 1}
    assert set(clashes(known)) == several


def test_select_genes_leaves_namesakes_out_and_says_so(tissue) -> None:
    every = stf.pp.select_genes(tissue, 12)
    with_ids(tissue, S1=SAME, S3=OTHER)
    with pytest.warns(UserWarning, match="GENE002 is ENSG2 in slide 'S1' and ENSG9 in") as told:
        found = stf.pp.select_genes(tissue, 11)
    assert told[0].filename == __file__
    assert found == [gene for gene in every if gene != "GENE002"]


def test_fit_refuses_namesakes_in_the_panel(tissue) -> None:
    with_ids(tissue, S1=SAME, S3=OTHER)
    with pytest.raises(ValueError, match="GENE002 is ENSG2 in slide 'S1' and ENSG9 in slide 'S3'"):
        stf.tl.fit(tissue, ["GENE001", "GENE002"], **SMALL)
    model = stf.tl.fit(tissue, ["GENE001", "GENE003", "GENE004"], **SMALL)
    assert model.info["gene_ids"] == {"GENE001": "ENSG1", "GENE003": "ENSG3"}


def test_cross_validate_and_bench(tissue) -> None:
    with_ids(tissue, S1=SAME, S3=OTHER)
    how = {"methods": ["mean"], "device": "cpu", "show_progress_bar": False}
    with pytest.raises(ValueError, match="GENE002 is ENSG2 in slide 'S1' and ENSG9"):
        stf.tl.cross_validate(tissue, genes=["GENE002"], **how)
    told = "Not chosen.*GENE002 is ENSG2 .*ENSG9 in slide 'S3'"
    with pytest.warns(UserWarning, match=told) as caught:
        table = stf.tl.cross_validate(tissue, n_top_genes=11, **how)
    assert sum("Not chosen" in str(each.message) for each in caught) == 1
    assert "GENE002" not in set(table["gene"])
    sizes = {"mpp": 8.0, "tile_px": 28}
    with pytest.raises(ValueError, match="GENE002 is ENSG2"):
        stf.bench.from_slides(tissue, name="made", genes=["GENE002"], **sizes)
    with pytest.warns(UserWarning, match="Left out, as different genes .* GENE002 is ENSG2"):
        task = stf.bench.from_slides(tissue, name="made", **sizes)
    assert task.sources["S2"].table().n_vars == 11
    assert tissue["S2"]["table"].n_vars == 12


def test_a_slide_that_calls_another_gene_so(tissue) -> None:
    """Nothing is said of the slides of the fit, and of genes without ids."""
    with_ids(tissue, S1=SAME, S2=SAME, S3=OTHER)
    panel = ["GENE001", "GENE002", "GENE003"]
    model = stf.tl.fit({name: tissue[name] for name in ("S1", "S2")}, panel, **SMALL)
    how = {"n_samples": 2, "device": "cpu", "show_progress_bar": False}
    told = "GENE002 is ENSG2 in the model and ENSG9 in this slide"
    with pytest.warns(UserWarning, match=told) as caught:
        stf.tl.predict(tissue["S3"], model, **how)
    assert any(told in str(each.message) and each.filename == __file__ for each in caught)
    observed = np.arange(tissue["S3"]["table"].n_obs) < 9
    with pytest.raises(ValueError, match=told):
        stf.tl.predict(tissue["S3"], model, observed=observed, key_added="p", **how)
    with pytest.raises(ValueError, match=r"GENE002 is ENSG9 .* and ENSG2 in the model"):
        stf.tl.evaluate(tissue["S3"])
    assert len(stf.tl.evaluate(tissue["S3"], genes=["GENE001", "GENE003"])) == 2
    same = deepcopy(tissue["S3"])
    same["table"].var["gene_ids"] = tissue["S1"]["table"].var["gene_ids"].to_numpy()
    stf.tl.predict(same, model, overwrite=True, **how)
    assert len(stf.tl.evaluate(same)) == 3
    with pytest.raises(ValueError, match="ENSG2 in table 'table' of slide 'b'"):
        stf.tl.evaluate({"a": tissue["S3"], "b": same})


def test_slides_named_by_symbols_and_by_ids() -> None:
    known = {"ACTB": "ENSG00000075624.17", "TBCE": "ENSG00000284770.3"}
    symbols = table(known)
    other = AnnData(symbols.X, var=pd.DataFrame({"symbol": list(known)}, index=known.values()))
    with pytest.raises(ValueError, match=r"share no gene\. `table.var_names = (.*)` calls") as told:
        stf.pp.select_genes({"a": symbols, "b": other}, 1)
    assert "table.var['symbol']" in str(told.value)
    for lost, among in ((["ENSG00000075624"], symbols), (["ENSG00000284770"], other)):
        hint = naming_hint(lost, among.var)
        renamed = {"table": among.copy()}
        exec(hint.split("`")[1], {}, renamed)
        assert set(lost) <= set(renamed["table"].var_names)


@pytest.mark.parametrize(
    ("lost", "names", "hint"),
    [
        (["Actb"], ["ACTB", "TBCE"], "differ in capitals alone"),
        (["ACTB"], ["ENSG00000075624"], "named by Ensembl ids"),
        (["ENSG00000075624"], ["ACTB"], "named by symbols"),
        (["ENSG00000075624.3"], ["ENSG00000075624"], "has no versions"),
        (["ERBB", "FASNN", "XYZ"], ["ERBB2", "FASN"], "Did you mean 'ERBB2', 'FASN'?"),
        (["ERBB2"], ["ACTB"], "^$"),
        (["ERBB2"], [], "^$"),
    ],
)
def test_hints(lost: list[str], names: list[str], hint: str) -> None:

    assert re.search(hint, naming_hint(lost, pd.DataFrame(index=pd.Index(names, dtype=object))))


def test_a_panel_of_the_other_names_is_told_how_to_be_found(tissue) -> None:
    with_ids(tissue, S1=OTHER)
    with pytest.raises(KeyError, match=r"`table.var_names = table.var\['gene_ids'\]"):
        stf.tl.fit(tissue["S1"], ["ENSG1", "ENSG9"], **SMALL)
