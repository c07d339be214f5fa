"""The card of a model on the hub: what it is, what it can do and what not, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
from huggingface_hub import ModelCardData

from stflow._calls import LOCAL, embed_call
from stflow._units import LABELS
from stflow.encoders import find_card, require_encoder
from stflow.model._described import claimed, trusted

if TYPE_CHECKING:
    from stflow.model._portable import Portable

TAGS = ["stflow", "spatial-transcriptomics", "histology", "pathology", "flow-matching"]
ON_HUB, SHOWN = "https://huggingface.co/", 20
COLUMNS = {
    "pearson": "Pearson",
    "partial": "given depth",
    "ceiling": "ceiling",
    "coverage_90": "in 90 % interval",
    "fdr": "FDR",
    "n_slides": "slides",
}
CITATION = """@inproceedings{huang2025stflow,
  title     = {Scalable Generation of Spatial Transcriptomics from Histology Images via
               Whole-Slide Flow Matching},
  author    = {Huang, Tinglin and Liu, Tianyu and Babadi, Mehrtash and Jin, Wengong and Ying, Rex},
  booktitle = {Proceedings of the 42nd International Conference on Machine Learning},
  year      = {2025},
  url       = {https://arxiv.org/abs/2506.05361}
}

@software{stflow_spatial,
  title   = {stflow: spatial gene expression from H&E slides by flow matching, on SpatialData},
  author  = {{The stflow developers}},
  version = {%s}
}"""


def write_card(
    model: Portable, repo_id: str, *, tissue: str | None, licence: str | None, names: bool
) -> str:
    """Write the card from what the model knows of itself.

    Parameters
    ----------
    model
        The model, as it is handed on.
    repo_id
        Where it can be had.
    tissue, licence
        What the model does not know; None is not said.
    names
        Whether slides and patients may be named.
    """
    about = f"# {repo_id.partition('/')[2]}\n\n{_summary(model, tissue)}"
    parts = [about, _facts(model, tissue, licence), _use(model, repo_id), _scores(model)]
    parts += [_limits(model), _contents(model, names), _cite(model)]
    return f"---\n{_metadata(model, licence)}\n---\n\n" + "\n\n".join(parts) + "\n"


def _metadata(model: Portable, licence: str | None) -> str:
    source = _source(model.encoder)
    base = source.removeprefix(ON_HUB) if source.startswith(ON_HUB) else None
    return ModelCardData(
        license=licence, library_name="stflow", tags=TAGS, base_model=base
    ).to_yaml()


def _source(recipe: Mapping[str, Any]) -> str:
    """Address of the encoder, empty when none is known."""
    name = str(recipe.get("encoder", ""))
    card = find_card(name)
    if card is not None:
        return card.url
    prefix, _, source = name.partition(":")
    return ON_HUB + source if prefix in ("hf-hub", "hf_hub") else ""


def _summary(model: Portable, tissue: str | None) -> str:
    return (
        f"Predicts the expression of {len(model.genes)} genes in spots of an H&E-stained section "
        f"({tissue or 'its tissue is not said'}) from what they and their surroundings look like. "
        "A model of `stflow`, which reads and writes SpatialData: `pip install stflow-spatial`."
    )


def _facts(model: Portable, tissue: str | None, licence: str | None) -> str:
    info, trust = model.info, model.trust
    n_patients = len({*info["patients"].values()})
    slides = {*info["training"], *info.get("left_out", ())}
    pitch = "not known" if model.pitch_um is None else f"{model.pitch_um:.4g} um"
    reach = float(model.ensemble.novelty.reach)
    rows = {
        "Tissue": tissue or "not said",
        "Patients": n_patients or "not known",
        "Slides": len(slides),
        "Distance between spots": pitch,
        "Units": f"{LABELS[model.units]} of a spot",
        "Image encoder": _encoder(model.encoder),
        "Licence of the model": licence or "not said",
        "Held-out score": trusted(model),
        "Coverage": f"{_percent(trust['coverage_90'])} of unseen spots lie in their 90 % interval",
        "Novelty reach": f"{reach:.3g}: within it lay 95 % of the spots of slides left out, of "
        "which 1.41 is usual. `predict` tells the novelty of a spot as a share of it; beyond 1 the "
        "model guesses",
        "Versions": ", ".join(f"{name} {each}" for name, each in info["versions"].items()),
    }
    told = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    unfinished = "\n\nThe training was interrupted; this is the best until then."
    return f"| | |\n|---|---|\n{told}" + unfinished * bool(info.get("interrupted"))


def _encoder(recipe: Mapping[str, Any]) -> str:
    name, source = recipe.get("encoder"), _source(recipe)
    if name is None:
        return "not known: the embeddings came without a recipe"
    card = find_card(name)
    shown = f"[`{name}`]({source})" if source else f"`{name}`"
    if card is None:
        return f"{shown}; its licence is not known to stflow"
    terms = f"{shown}, under {card.licence}{', gated' * card.gated}"
    if card.is_non_commercial:
        terms += (
            ". **Not for commercial use**: whoever uses this model uses the encoder, and is bound "
            "by its licence, whatever the licence of the model says"
        )
    return terms


def _percent(values: pd.Series) -> str:
    return "an unknown share" if values.isna().all() else f"{100 * values.mean():.0f} %"


def _use(model: Portable, repo_id: str) -> str:
    pitch = "" if model.pitch_um is None else f"pitch_um={model.pitch_um:.4g}"
    embedding, remark = _embedding(model)
    return f"""## How to use it

```python
import stflow as stf

model = stf.STFlow.from_pretrained("{repo_id}")

sdata = stf.io.read_wsi("slide.svs")  # or any SpatialData with an H&E image
stf.pp.detect_tissue(sdata)
stf.pp.grid(sdata{", " + pitch if pitch else ""})
{embedding}
stf.pp.neighbors(sdata)
stf.tl.predict(sdata, model)
```

Slides that have spots need no `detect_tissue` and `grid`. On spots, bins or cells that lie closer
than those of the fit, find neighbours with `stf.pp.neighbors(sdata, {pitch or "pitch_um=..."})`.
{remark}""".rstrip()


def _embedding(model: Portable) -> tuple[str, str]:
    """Tell the line that makes embeddings as the model knows them, and what is to be said of it."""
    recipe = model.encoder
    call = embed_call(recipe)
    if "sdata" in call and _goes_by_name(recipe["encoder"]):
        return call, ""
    told = ", ".join(f"`{key}={value}`" for key, value in recipe.items() if key != "versions")
    remark = (
        f"The embeddings, {model.n_inputs} wide, must be made as those of the fit, which no name "
        f"tells: {told or 'they came without a recipe'}. Ask whoever made the model."
    )
    return "...  # an embedding as the model knows it, see below", remark


def _goes_by_name(encoder: str) -> bool:
    try:
        require_encoder(encoder, weights=None)
    except ValueError:
        return False
    return not encoder.startswith(LOCAL)


def _scores(model: Portable) -> str:
    best = model.trust.sort_values("pearson", ascending=False, kind="stable")
    text = f"""## How good it is

{_scored(model)}
{claimed(model).capitalize()}. *Given depth* is the correlation that is left when it is known how
deep each spot was read; the *ceiling* is the Pearson correlation that counting noise allows; *FDR*
is the false discovery rate at which the gene is predicted at all."""
    if len(best) <= SHOWN:
        return f"{text}\n\n{_table(best)}"
    folded = f"<details><summary>All {len(best)} genes, best first</summary>\n\n{_table(best)}\n\n"
    return f"{text}\n\nThe best {SHOWN}:\n\n{_table(best[:SHOWN])}\n\n{folded}</details>"


def _scored(model: Portable) -> str:
    text = "Scored on slides (of a single slide: blocks of it) that were left out whole"
    if len(model.info["validation"]) > 1:
        return (
            f"{text}, as predicted by flows that were trained without them by turns; the flow that "
            "predicts has learned from all."
        )
    return (
        f"{text} and decided when training should stop: a new slide may be predicted less well, "
        "and `stf.tl.cross_validate` tells how well."
    )


def _table(trust: pd.DataFrame) -> str:
    columns = {key: title for key, title in COLUMNS.items() if key in trust}
    head = ["gene", *columns.values()]
    rows = [head, ["---"] * len(head)]
    for gene, row in trust.iterrows():
        rows.append([str(gene), *(_told(key, row[key]) for key in columns)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _told(column: str, value: float) -> str:
    if pd.isna(value):
        return ""
    if column == "n_slides":
        return f"{value:.0f}"
    return "< 0.01" if column == "fdr" and value < 0.01 else f"{value:.2f}"


def _limits(model: Portable) -> str:
    n_patients = len({*model.info["patients"].values()})
    whom = f"It was checked on patients that it had not seen, of {n_patients} in all."
    if n_patients < 2:
        whom = (
            "Nothing is known of how it does on patients other than those of the fit: it was "
            "checked on other sections alone."
        )
    return f"""## What it does not claim

- {whom} Another organ, disease, stain or scanner may look new to it:
  see `.obs["stflow_novelty"]` after `predict`.
- A gene whose FDR is over 0.05 was not shown to be predicted at all, and a mean over genes says
  nothing of one.
- Predictions are smoother than measurements. Use the standard deviations and
  `stf.get.intervals`, and measure what matters.
- It is for research, and was not tested for any clinical use."""


def _contents(model: Portable, names: bool) -> str:
    called = "are named as its makers named them" if names else "have numbers instead of names"
    drawn = ", and counts of its spots" if model.config.prior == "empirical" else ""
    return f"""## What is in the files

`model.safetensors` and `model.json` hold tensors and plain text, nothing that runs. They hold no
image. Slides and patients {called}. Of the training data there are
features of up to 2,000 spots{drawn}, how genes share the counts, and digests of the embeddings, by
which `predict` recognises a slide of the fit."""


def _cite(model: Portable) -> str:
    version = model.info["versions"].get("stflow-spatial", "")
    return (
        "## How to cite\n\nThe method, of which stflow is an independent implementation, and the "
        f"software:\n\n```bibtex\n{CITATION % version}\n```"
    )
