"""The denoiser: edges, attention, the network, and how a whole slide is sampled with it."""

from stflow.model.denoiser._attention import Messages
from stflow.model.denoiser._denoiser import Denoiser, TimeEncoder, spatial_attention
from stflow.model.denoiser._graph import SpotGraph, join, spot_graph
from stflow.model.denoiser._sampling import N_STEPS, PRECISIONS, Precision, SlideSampler, draws
from stflow.model.denoiser._transfer import take_over
