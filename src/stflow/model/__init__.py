"""The model: features, denoiser, training and the fitted STFlow. Slides and tensors only."""
