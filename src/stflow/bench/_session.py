"""Who ran a benchmark: command, versions, machine."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from stflow._device import resolve_device
from stflow._versions import installed_versions

PACKAGES = ("stflow-spatial", "torch", "timm", "scikit-learn", "xgboost", "xgboost-cpu", "numpy")


def describe_session(device: str) -> dict[str, Any]:
    """Describe this process and the machine it runs on."""
    where = resolve_device(device)
    program, *words = sys.argv or ["python"]
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join([Path(program).name, *words]),
        "versions": {"python": platform.python_version(), **installed_versions(PACKAGES)},
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(where) if where.type == "cuda" else where.type,
    }
