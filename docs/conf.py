"""Sphinx configuration."""

from __future__ import annotations

import ast
import dataclasses
import importlib.metadata
import inspect
import os
import sys
import typing
from typing import Any

from sphinx.ext.napoleon import NumpyDocstring

import stflow.bench.methods

project = "stflow"
author = "The stflow developers"
copyright = f"2026, {author}"
release, _, _ = importlib.metadata.version("stflow-spatial").partition("+")

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
autodoc_preserve_defaults = True
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

# Every name of ours must lead somewhere. Names of other projects lead there where the documentation
# is published, and are text in a build without a network.
nitpick_ignore = [("py:class", "stflow.model._ensemble.Ensemble")]  # weights, no part of the API
OTHERS = {
    "anndata": "https://anndata.readthedocs.io/en/stable",
    "distributed": "https://distributed.dask.org/en/stable",
    "geopandas": "https://geopandas.org/en/stable",
    "matplotlib": "https://matplotlib.org/stable",
    "numpy": "https://numpy.org/doc/stable",
    "pandas": "https://pandas.pydata.org/docs",
    "python": "https://docs.python.org/3",
    "scanpy": "https://scanpy.readthedocs.io/en/stable",
    "scipy": "https://docs.scipy.org/doc/scipy",
    "spatialdata": "https://spatialdata.scverse.org/en/stable",
    "squidpy": "https://squidpy.readthedocs.io/en/stable",
    "torch": "https://docs.pytorch.org/docs/stable",
    "xarray": "https://docs.xarray.dev/en/stable",
}
intersphinx_mapping = (
    {name: (url, None) for name, url in OTHERS.items()} if "READTHEDOCS" in os.environ else {}
)
nitpick_ignore_regex = [
    (r"py:.*", rf"({'|'.join([*OTHERS, 'collections', 'os', 'pathlib', 'typing'])})\..*")
]
# Where other projects document what their classes call themselves.
PUBLIC_NAMES = {
    "anndata._core.anndata.AnnData": "anndata.AnnData",
    "distributed.client.Client": "distributed.Client",
    "geopandas.geodataframe.GeoDataFrame": "geopandas.GeoDataFrame",
    "pandas.core.frame.DataFrame": "pandas.DataFrame",
    "scipy.sparse._base.sparray": "scipy.sparse.sparray",
    "scipy.sparse._csr.csr_matrix": "scipy.sparse.csr_matrix",
    "scipy.sparse._matrix.spmatrix": "scipy.sparse.spmatrix",
    "spatialdata._core.spatialdata.SpatialData": "spatialdata.SpatialData",
    "torch.nn.modules.module.Module": "torch.nn.Module",
    "xarray.core.datatree.DataTree": "xarray.DataTree",
}

html_theme = "sphinx_book_theme"
html_title = f"stflow {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "navbar_persistent": [],  # a second field for the search
    "show_navbar_depth": 1,
    "show_toc_level": 2,
}


def _returns_as_prose(docstring: NumpyDocstring, section: str) -> list[str]:
    """Keep the section Returns as written, for it holds no types to pick out."""
    lines = docstring._dedent(docstring._consume_to_next_section())
    return [*docstring._format_block(":returns: ", lines), ""]


NumpyDocstring._parse_returns_section = _returns_as_prose


def _import_what_types_need() -> None:
    """Run the imports that modules make for type checkers alone, so that types can be read."""
    for part in stflow.__all__:
        getattr(stflow, part)
    for module in [module for name, module in sys.modules.items() if name.startswith("stflow.")]:
        for node in ast.parse(inspect.getsource(module)).body:
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                code = compile(ast.Module(node.body, type_ignores=[]), module.__file__, "exec")
                exec(code, module.__dict__)


def _read_types_of_constructors() -> None:
    """Put types in the place of their names, which Sphinx reads of functions alone."""
    for module in [module for name, module in sys.modules.items() if name.startswith("stflow.")]:
        for kind in vars(module).values():
            if getattr(kind, "__module__", "") == module.__name__ and inspect.isclass(kind):
                made = vars(kind).get("__init__")
                if inspect.isfunction(made) and not dataclasses.is_dataclass(kind):
                    made.__annotations__ = typing.get_type_hints(made)


def _use_public_name(_app: Any, _env: Any, node: Any, _content: Any) -> None:
    """Look a class of another project up under the name that it is documented by."""
    node["reftarget"] = PUBLIC_NAMES.get(node["reftarget"], node["reftarget"])


def setup(app: Any) -> None:
    """Connect what is above."""
    _import_what_types_need()
    _read_types_of_constructors()
    app.connect("missing-reference", _use_public_name, priority=400)
