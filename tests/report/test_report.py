"""Pages about a slide: what is known is said, what is missing too, and nothing else is loaded."""

from __future__ import annotations

import base64
import io
import os

import geopandas as gpd
import numpy as np
import pytest
import shapely
from pages import Page
from PIL import Image
from spatialdata import SpatialData
from spatialdata.models import ShapesModel
from support import snapshot

import stflow as stf
from stflow._report import _report


@pytest.fixture(scope="session")
def page(_predicted, tmp_path_factory) -> Page:
    """The page of a slide that has everything but tissue and artifacts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_report, "N_EACH", 1)
        return Page(stf.report(_predicted, tmp_path_factory.mktemp("pages") / "S1.html"))


def test_a_page_tells_what_is_in_the_slide(page: Page, slide: SpatialData, model: stf.STFlow):
    scores = stf.tl.evaluate(slide)
    assert "Spots 64" in page.text
    assert "Genes predicted 8 log1p counts per 10,000" in page.text
    assert f"Pearson on this slide {scores.attrs['pearson']:.2f}" in page.text
    assert f"depth alone {scores.attrs['pearson_depth']:.2f}" in page.text
    assert f"intervals of 90 % {100 * scores.attrs['coverage_90']:.0f} %" in page.text
    assert "he, 570 × 570 pixels Scale 4 µm per pixel" in page.text
    assert all(gene in page.text for gene in model.genes)
    assert "not in the panel: absent" in page.text
    assert "samples 100, steps 5, seed 0" in page.text
    assert stf.__version__ in page.text


def test_a_gene_has_its_row_of_trust(page: Page, slide: SpatialData, model: stf.STFlow):
    var, scores = slide["table"].var, stf.tl.evaluate(slide)
    for gene in model.genes:
        row = page.html.partition(f'<tr><th scope="row">{gene}</th>')[2].partition("</tr>")[0]
        assert f"<td>{var.loc[gene, 'stflow_pearson']:.2f}</td>" in row
        assert row.endswith(f"<td>{scores.loc[gene, 'pearson']:.2f}</td>")
        verdict = "above chance" if var.loc[gene, "stflow_fdr"] < 0.05 else "not told from chance"
        assert f"<td>{verdict}</td>" in row


def test_pictures_are_inside_and_described(page: Page):
    assert page.captions("measured") == 2
    assert page.captions("predicted") == 2 + 2
    assert page.captions("standard deviation") == 2 + 2
    assert len(page.images) == 1 + 1 + 2 * 3 + 2 * 2 + 1
    for image in page.images:
        kind, _, data = image["src"].partition(";base64,")
        drawn = Image.open(io.BytesIO(base64.b64decode(data)))
        assert kind == f"data:image/{drawn.format.lower()}"
        assert drawn.size == (int(image["width"]), int(image["height"]))
        assert np.asarray(drawn.convert("L")).std() > 1
        assert image["alt"]


def test_a_page_is_one_file_without_a_network(page: Page):
    assert len(page.html.encode()) < 5e6
    assert all(address.startswith(("data:image/", "#")) for address in page.loaded)
    assert "http:" not in page.html
    assert "https:" not in page.html
    assert "default-src 'none'" in page.html
    assert "@media print" in page.html


def test_names_are_escaped(page: Page, slide: SpatialData, tmp_path, one):
    assert "<script>alert" not in page.html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.html
    assert page.tags.count("script") == 1
    told = Page(stf.report(slide, tmp_path / "a.html", title="<b>x</b>", **one))
    assert "<title>&lt;b&gt;x&lt;/b&gt;</title>" in told.html
    assert "b" not in told.tags[: told.tags.index("h1") + 1]


def test_most_and_least_certain_genes(slide, tmp_path, model, monkeypatch, undrawn):
    monkeypatch.setattr(_report, "N_EACH", 1)
    table = slide["table"]
    sd = table.obsm["stflow_sd"]
    for rank, gene in enumerate(model.genes):
        sd[gene] = float(table.obsm["stflow"][gene].std()) * (rank + 1)
    told = Page(stf.report(slide, tmp_path / "a.html"))
    shown = [part.partition("</h4>")[0] for part in told.html.split("<h4>")[1:3]]
    assert shown == [model.genes[0], model.genes[-1]]
    assert "expected to explain 50 % of the variance" in told.text


# what is missing is said


def test_what_is_missing_is_said_with_its_call(page: Page, slide: SpatialData, tmp_path, one):
    assert "stf.pp.detect_tissue(sdata)" in page.text
    assert "stf.pp.mask_artifacts(sdata)" in page.text
    square = shapely.box(100, 100, 200, 200)
    slide["tissue"] = ShapesModel.parse(gpd.GeoDataFrame(geometry=[square]))
    marks = {"kind": ["pen", "blur"]}
    covers = [shapely.box(100, 100, 150, 150), shapely.Polygon()]
    slide["artifacts"] = ShapesModel.parse(gpd.GeoDataFrame(marks, geometry=covers))
    told = Page(stf.report(slide, tmp_path / "a.html", **one))
    assert "stf.pp." not in told.text
    assert "Tissue 0.16 mm² Pen 0.040 mm², 25.0 % of the tissue's Blur none found" in told.text
    assert "the outline of the tissue, pen" in told.images[0]["alt"]


def test_a_slide_without_counts_is_compared_with_none(slide: SpatialData, tmp_path, one):
    slide["table"].X = None
    told = Page(stf.report(slide, tmp_path / "a.html", **one))
    assert "Nothing was measured on this slide" in told.text
    assert "Pearson on this slide" not in told.text
    assert "Pearson here" not in told.text
    assert told.captions("measured") == 0
    assert told.captions("predicted") == 3


def test_h_and_e_alone_says_what_to_do(slide: SpatialData, tmp_path):
    alone = SpatialData(images={"he": slide["he"]}, attrs=slide.attrs)
    told = Page(stf.report(alone, tmp_path / "a.html"))
    assert told.text.count("Nothing is predicted on this slide. To make it: stf.tl.predict") == 5
    assert len(told.images) == 1
    assert "Genes predicted" not in told.text


def test_without_an_image_maps_alone(slide: SpatialData, tmp_path, model):
    del slide.images["he"]
    told = Page(stf.report(slide, tmp_path / "a.html", genes=model.genes[0]))
    assert "The slide holds no image, so there is no picture." in told.text
    assert (told.captions("predicted"), len(told.images)) == (3, 1 + 3 + 4 + 1)


def test_one_sample_has_no_deviation_and_no_sets(tissue, model: stf.STFlow, tmp_path, one):
    slide = tissue["S1"]
    stf.tl.predict(slide, model, n_samples=1, show_progress_bar=False)
    told = Page(stf.report(slide, tmp_path / "a.html", **one))
    assert "Warning The prediction is a single draw" in told.text
    assert told.captions("standard deviation") == 0
    assert "No gene sets are scored." in told.text
    assert "keep_samples=True" in told.text


def test_counts_that_cannot_be_compared_are_said(slide: SpatialData, tmp_path, one):
    slide["table"].X = slide["table"].X * 0.5
    told = Page(stf.report(slide, tmp_path / "a.html", **one))
    assert "Note Counts are not compared." in told.text
    assert "not whole numbers" in told.text
    assert "Counts are there, but are not compared." in told.text


# who must not be named


def test_neither_patients_nor_folders_are_named(slide: SpatialData, tmp_path, one):
    slide.attrs["slide_properties"] |= {"patient": "P_SECRET", "source": "/home/anna/P_SECRET.svs"}
    slide["table"].obs["patient"] = "P_SECRET"
    info = slide["table"].uns["stflow"]
    info["encoder"] = {**info["encoder"], "encoder": "local-dir:/home/anna/weights"}
    assert "S4" in info["model"]
    told = Page(stf.report(slide, tmp_path / "a.html", **one))
    assert "P_SECRET" not in told.html
    assert "anna" not in told.html
    assert str(tmp_path) not in told.html
    assert "encoder=local-dir:weights" in told.text
    assert "trained on S" not in told.text


# where the page goes


def test_folders_are_made_and_files_are_kept(slide: SpatialData, tmp_path, monkeypatch):
    alone = SpatialData(images={"he": slide["he"]}, attrs=slide.attrs)
    before = snapshot(slide)
    file = stf.report(alone, tmp_path / "new" / "S1.html")
    assert Page(file).text.startswith("S1 S1 Spatial gene expression")
    with pytest.raises(FileExistsError, match=r"S1\.html exists\. Pass `overwrite=True`"):
        stf.report(alone, file)
    old = file.read_text()

    def full(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        stf.report(alone, file, title="other", overwrite=True)
    assert file.read_text() == old
    assert [each.name for each in file.parent.iterdir()] == ["S1.html"]
    monkeypatch.undo()
    stf.report(alone, file, title="other", overwrite=True)
    assert "other" in file.read_text()
    assert snapshot(slide) == before


def test_refusals(slide: SpatialData, tmp_path, model: stf.STFlow):
    page = tmp_path / "a.html"
    with pytest.raises(TypeError, match="Expected SpatialData, not AnnData"):
        stf.report(slide["table"], page)
    with pytest.raises(IsADirectoryError, match="is a folder"):
        stf.report(slide, tmp_path)
    with pytest.raises(ValueError, match=r"ends in \.html"):
        stf.report(slide, tmp_path / "a.pdf")
    with pytest.raises(KeyError, match="No table 'cells'; available: 'table'"):
        stf.report(slide, page, table_key="cells")
    with pytest.raises(KeyError, match="No prediction 'other' in table 'table'"):
        stf.report(slide, page, "other")
    with pytest.raises(KeyError, match="No image 'if'; available: 'he'"):
        stf.report(slide, page, image_key="if")
    with pytest.raises(KeyError, match="1 of 1 genes are not among the predicted genes: 'XYZ'"):
        stf.report(slide, page, genes="XYZ")
    with pytest.raises(ValueError, match="`genes` names 25 genes; a page shows 24"):
        stf.report(slide, page, genes=[f"G{i}" for i in range(25)])
    del slide["table"].obsm["stflow"], slide["table"].layers["stflow"]
    with pytest.raises(KeyError, match="nothing is predicted"):
        stf.report(slide, page, genes="XYZ")
    del slide.images["he"]
    with pytest.raises(ValueError, match="nothing to report: no image, and no prediction 'stflow'"):
        stf.report(slide, page)
    assert not page.exists()


def test_a_slide_of_several(two_regions: SpatialData, model: stf.STFlow, tmp_path, one):
    stf.tl.predict(two_regions, model, show_progress_bar=False)
    two_regions["table"].uns["stflow"]["trained_on"] = np.array(["b"])
    with pytest.raises(KeyError, match="Pass `shapes_key=`, one of the annotated elements"):
        stf.report(two_regions, tmp_path / "a.html", image_key="he_a")
    told = Page(
        stf.report(two_regions, tmp_path / "a.html", shapes_key="a", image_key="he_a", **one)
    )
    assert "Spots 64" in told.text
    assert "trained on this slide" not in told.text


@pytest.mark.slow
def test_real_tissue(data_dir, tmp_path):
    slide = stf.datasets.her2st("C5")
    table = slide["table"]
    truth = np.log1p(table.to_df()[["ERBB2", "FASN"]])
    table.obsm["stflow"] = truth + np.random.default_rng(0).normal(0, 0.5, truth.shape)
    table.uns["stflow"] = {"units": "counts", "min_counts": 0.0}
    told = Page(stf.report(slide, tmp_path / "a.html"))
    assert "Spots 181" in told.text
    assert "0.6903 µm per pixel" in told.text
    assert "Raw counts were predicted." in told.text
    assert told.captions("measured") == told.captions("predicted") == 2
