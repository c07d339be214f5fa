"""The model: features, regression, denoiser, residuals, and the fitted STFlow. Slides only."""

from stflow.model._config import Config
from stflow.model._ensemble import Ensemble
from stflow.model._features import Features
from stflow.model._files import require_free_folder
from stflow.model._kernel_path import KernelPath
from stflow.model._prediction import Prediction
from stflow.model._stflow import STFlow
