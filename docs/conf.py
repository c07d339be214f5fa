"""Sphinx configuration."""

from __future__ import annotations

import importlib.metadata
import os

from sphinx.ext.napoleon import NumpyDocstring

project = "stflow"
author = "The stflow developers"
copyright = f"2026, {author}"
release = importlib.metadata.version("stflow-spatial")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinxcontrib.bibtex",
]
exclude_patterns = ["_build", "_templates", "**.ipynb_checkpoints"]
templates_path = ["_templates"]
suppress_warnings = ["epub.unknown_project_files"]

autosummary_generate = True
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 80
python_use_unqualified_type_names = True
napoleon_google_docstring = False
napoleon_use_rtype = False

bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "plain"
bibtex_reference_style = "author_year"

nitpicky = True

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_merge_streams = True

# Inventories of other projects are fetched only where the documentation is published, so that a
# build without a network stays free of warnings.
intersphinx_mapping = (
    {
        "anndata": ("https://anndata.readthedocs.io/en/stable", None),
        "matplotlib": ("https://matplotlib.org/stable", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "pandas": ("https://pandas.pydata.org/docs", None),
        "python": ("https://docs.python.org/3", None),
        "scanpy": ("https://scanpy.readthedocs.io/en/stable", None),
        "spatialdata": ("https://spatialdata.scverse.org/en/stable", None),
        "squidpy": ("https://squidpy.readthedocs.io/en/stable", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
    }
    if "READTHEDOCS" in os.environ
    else {}
)

html_theme = "sphinx_book_theme"
html_title = f"stflow {release}"
html_static_path = ["_static"]
html_theme_options = {"show_navbar_depth": 1, "show_toc_level": 2}


def _returns_as_prose(docstring: NumpyDocstring, section: str) -> list[str]:
    """Keep the section Returns as written, for it holds no types to pick out."""
    lines = docstring._dedent(docstring._consume_to_next_section())
    return [*docstring._format_block(":returns: ", lines), ""]


NumpyDocstring._parse_returns_section = _returns_as_prose
