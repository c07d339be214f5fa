"""Rehearse a release: build, check, install the wheel in a clean environment, run it there.

Needs uv and the package index: ``make release-check``. What it built stays in ``dist/``.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
UV = [sys.executable, "-m", "uv"]

MAIN_JOB = """
import stflow as stf

slides = stf.datasets.synthetic(4, n_spots=80)
for sdata in slides.values():
    stf.pp.embed(sdata)
    stf.pp.neighbors(sdata)
*train, test = slides
train = {name: slides[name] for name in train}
model = stf.tl.fit(train, genes=stf.pp.select_genes(train, n_top_genes=20), max_epochs=10)
stf.tl.predict(slides[test], model)
scores = stf.tl.evaluate(slides[test])
stf.pl.gene_maps(slides[test], model.genes[:2], save="maps.png", show=False)
stf.info(slides[test])
print(f"mean Pearson correlation {scores['pearson'].mean():.3f}")
if not scores["pearson"].mean() > 0.1:
    raise SystemExit("The panel of a slide of the same law should be predicted.")
"""


@contextmanager
def step(name: str) -> Iterator[None]:
    """Say what happens, and how long it took."""
    print(f"== {name}", flush=True)
    start = time.perf_counter()
    yield
    print(f"   {time.perf_counter() - start:.0f} s", flush=True)


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run a command; what it says is shown, and its failure ends the rehearsal."""
    subprocess.run([str(word) for word in command], cwd=cwd, check=True)


def disagreements(version: str, citation: str, changelog: str) -> list[str]:
    """Where files speak of another version than the one that was built from a tag."""
    cited = re.search(r"^version: (\S+)$", citation, re.M)
    newest = re.search(r"^## (\S+) \((.+)\)$", changelog, re.M)
    found = []
    if not cited or cited[1] != version:
        found.append(f"CITATION.cff says {cited[1] if cited else 'no version'}")
    if not newest or newest[1] != version:
        found.append(f"the newest section of CHANGELOG.md is {newest[1] if newest else 'missing'}")
    elif not re.fullmatch(r"\d{4}-\d\d-\d\d", newest[2]):
        found.append(f"CHANGELOG.md has {newest[2]!r} in place of the day of {version}")
    return found


def require_agreement(version: str) -> None:
    """End the rehearsal where a tagged version is not the one that files speak of."""
    if "dev" in version or version == "0.0.0":
        print(f"   {version}: no tag of this commit, so nothing to upload, only a rehearsal")
        return
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("CITATION.cff", "CHANGELOG.md")]
    if found := disagreements(version, *texts):
        raise SystemExit(f"The tag says {version}, but {'; '.join(found)}.")


def main() -> None:
    """Run every step, each only if those before went well."""
    shutil.rmtree(DIST, ignore_errors=True)
    with step("building the source distribution, and the wheel from it"):
        run(*UV, "build", "--quiet", "--out-dir", DIST)
        (wheel,) = DIST.glob("*.whl")
        require_agreement(wheel.name.split("-")[1])
    with step("checking what the index will show"):
        run(*UV, "tool", "run", "twine", "check", "--strict", wheel, *DIST.glob("*.tar.gz"))
        run(*UV, "tool", "run", "cffconvert", "--validate")
    with tempfile.TemporaryDirectory() as folder:
        clean = Path(folder, "clean")
        python = clean / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        with step("installing the wheel and its runtime dependencies in a clean environment"):
            run(*UV, "venv", "--quiet", "--python", sys.executable, clean)
            run(*UV, "pip", "install", "--quiet", "--python", python, wheel)
            size = sum(path.lstat().st_size for path in clean.rglob("*"))
            print(f"   {size / 1e9:.1f} GB")
        with step("running the main job on synthetic tissue there"):
            run(python, "-I", "-c", MAIN_JOB, cwd=Path(folder))
            run(python.with_name("stflow"), "--version", cwd=Path(folder))
    print("All well. The checklist is in CONTRIBUTING.md.")


if __name__ == "__main__":
    main()
