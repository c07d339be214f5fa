"""Evaluate the denoiser on a whole slide, chunk by chunk. Pure tensors.

A layer is two passes over chunks of spots: what each spot says, written to tables, then what each
makes of its neighbours' rows of those tables. So memory is a few numbers a spot, whatever the
number of edges, and the result is that of all spots at once.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeAlias

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from stflow.flow import Prior, sample
from stflow.model.denoiser._attention import Messages, SpatialAttention
from stflow.model.denoiser._chunks import Chunk, cut, spatial_order
from stflow.model.denoiser._denoiser import Denoiser, Head
from stflow.model.denoiser._graph import SpotGraph
from stflow.model.denoiser._staging import staged

CHUNK_SIZE = {"cpu": 2048, "cuda": 65_536}
EDGE_BYTES = 2**29
N_STEPS = 5
Precision: TypeAlias = Literal["float32", "bfloat16"]
PRECISIONS: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class SlideSampler:
    """A slide made ready for a denoiser: all that depends on neither Y nor t, computed once.

    Parameters
    ----------
    denoiser
        The network; it is copied.
    features, coords, adjacency
        Image features (N, F), spot centres (N, 2) and neighbours (N, N).
    device
        Where to compute.
    n_samples
        Samples that will be drawn. As many as fit into a chunk go side by side.
    chunk_size
        Spots computed at a time; None is what suits the device.
    precision
        Type of the layers' products; states and expression are float32 throughout.
    on_layer
        Called after each layer of each evaluation, with the number of samples side by side.
    keep_attention
        Whether to keep what `attention` returns; for one sample.
    """

    @torch.inference_mode()
    def __init__(
        self,
        denoiser: Denoiser,
        features: Tensor,
        coords: np.ndarray,
        adjacency: sp.csr_matrix,
        *,
        device: torch.device,
        n_samples: int = 1,
        chunk_size: int | None = None,
        precision: Precision = "float32",
        on_layer: Callable[[int], object] = lambda n: None,
        keep_attention: bool = False,
    ) -> None:
        self.device, self.on_layer = device, on_layer
        self.denoiser, dtype = copy.deepcopy(denoiser).eval().to(device), PRECISIONS[precision]
        for module in (self.denoiser.layers, self.denoiser.heads):
            module.to(dtype)
        size = chunk_size or CHUNK_SIZE.get(device.type, CHUNK_SIZE["cpu"])
        self.at_once = samples_at_once(n_samples, coords.shape[0], size)
        if self.at_once > 1:
            features, coords = features.repeat(self.at_once, 1), np.tile(coords, (self.at_once, 1))
            adjacency = sp.block_diag([adjacency] * self.at_once, format="csr")
        self.n_rows = coords.shape[0]
        self.order = spatial_order(adjacency, size)
        rows = self.order.numpy()
        coords, adjacency = coords[rows], adjacency[rows][:, rows]
        hidden, n_genes = denoiser.hidden, denoiser.n_genes
        self.home = tables_home(self.n_rows * 4 * (5 * hidden + 6 * n_genes), device)
        self.chunks = [
            Chunk(chunk.rows, chunk.reach, SpotGraph(*map(self._place, chunk.graph)))
            for chunk in cut(coords, adjacency, size)
        ]
        self.start, self.z = self._table(hidden), self._table(hidden)
        self.said = Messages(*(self._table(hidden, dtype) for _ in range(3)))
        self.guess, self.total = self._table(n_genes), self._table(n_genes)
        self._encoded: dict[tuple[int, int], Tensor] = {}
        kept = self.chunks if keep_attention else []
        self._attended = [torch.zeros(len(chunk.graph.source), device=device) for chunk in kept]
        nowhere = torch.empty(0, dtype=torch.long), torch.empty(0, n_genes)
        self.hold(*nowhere)
        _raise_trim_threshold()
        self._project(features)

    @torch.inference_mode()
    def sample(self, starts: Iterable[Tensor], n_steps: int) -> Tensor:
        """Integrate the flow from S prior draws (N, G); the result (S, N, G) is on the CPU.

        S is `at_once`. Without a flow there is one evaluation, whatever ``n_steps``.
        """
        y0 = self._table(self.denoiser.n_genes)
        for places, start in zip(self._places().to(self.home), starts, strict=True):
            y0.index_copy_(0, places, start.to(self.home))
            del start  # room for what follows
        with torch.autocast(self.device.type, enabled=False):
            return self._in_order(sample(self, y0, self.denoiser.steps(n_steps)))

    def hold(self, spots: Tensor, expression: Tensor) -> None:
        """Keep spots (K,) on their path to an expression (K, G) that is known."""
        at = self._places()[:, spots].flatten()
        known = expression.repeat(self.at_once, 1)
        self._held = at.to(self.home), known.to(self.home)

    @property
    def latent(self) -> Tensor:
        """Last states of the spots in each of the samples, shape (S, N, d), on the CPU."""
        return self._in_order(self.z)

    @property
    def attention(self) -> sp.csr_matrix:
        """Attention of spot i to spot j in the last evaluation, shape (N, N), for one sample.

        The mean over layers and heads, so a row adds up to 1, or is empty without neighbours.
        """
        places = [
            (chunk.graph.target + chunk.rows.start, chunk.graph.source + chunk.reach.start)
            for chunk in self.chunks
        ]
        i, j = (self.order[torch.cat(ends).cpu()].numpy() for ends in zip(*places, strict=True))
        weights = torch.cat(self._attended).cpu().numpy()
        return sp.csr_matrix((weights, (i, j)), shape=(self.n_rows, self.n_rows))

    def __call__(self, y: Tensor, t: float) -> Tensor:
        """Predict the end point from expression y (S * N, G) at time t, both in the tables' order.

        The next call writes over the result.
        """
        time = self.denoiser.time(torch.full((1,), t, device=self.device))
        torch.add(self.start, time.to(self.home), out=self.z)
        for table in (self.total, *self._attended):
            table.zero_()
        for i, (layer, head) in enumerate(self.denoiser.blocks()):
            self._speak(layer, y)
            self._listen(i, layer, head)
            y = self.guess
            self.on_layer(self.at_once)
        self._settle()
        self.total.div_(len(self.denoiser.layers))
        return self.total.index_copy_(0, *self._held)

    def _speak(self, layer: SpatialAttention, y: Tensor) -> None:
        """Fill the tables of messages."""
        inputs = ([self.z[chunk.rows], y[chunk.rows]] for chunk in self.chunks)
        for chunk, (z, expression) in zip(self.chunks, staged(inputs, self.device), strict=True):
            for table, said in zip(self.said, layer.messages(z, expression), strict=True):
                table[chunk.rows].copy_(said, non_blocking=True)

    def _listen(self, i: int, layer: SpatialAttention, head: Head) -> None:
        """Move all states on by layer number i, and guess the expression."""
        inputs = (self._heard(chunk) for chunk in self.chunks)
        for k, (z, total, *rest) in enumerate(staged(inputs, self.device)):
            rows, graph = self.chunks[k].rows, SpotGraph(*rest[3:])
            messages, edges = Messages(*rest[:3]), self._edges(i, k, layer, graph)
            weights = layer.weights(messages, edges, graph)
            if self._attended:
                self._attended[k].add_(weights.mean(1), alpha=1 / len(self.denoiser.layers))
            z = layer.move(z, messages, edges, weights, graph)
            guess = head(z).float()
            self.z[rows].copy_(z, non_blocking=True)
            self.guess[rows].copy_(guess, non_blocking=True)
            self.total[rows].copy_(total + guess, non_blocking=True)

    def _heard(self, chunk: Chunk) -> list[Tensor]:
        """All that the spots of a chunk need in order to move on by a layer."""
        rows, reach = chunk.rows, chunk.reach
        said = (self.said.listening[rows], self.said.speaking[reach], self.said.values[reach])
        return [self.z[rows], self.total[rows], *said, *chunk.graph]

    def _edges(self, i: int, k: int, layer: SpatialAttention, graph: SpotGraph) -> Tensor:
        """Edges of chunk k encoded by layer i, kept while there is room."""
        if (i, k) in self._encoded:
            return self._encoded[i, k]
        encoded = layer.edges(graph.geometry)
        size = encoded.nbytes * (1 + len(self._encoded))
        if self.home == self.device and size <= EDGE_BYTES:
            self._encoded[i, k] = encoded
        return encoded

    def _project(self, features: Tensor) -> None:
        """Fill the states that all evaluations start from, but for the time."""
        inputs = ([features[self.order[chunk.rows]]] for chunk in self.chunks)
        for chunk, (some,) in zip(self.chunks, staged(inputs, self.device), strict=True):
            self.start[chunk.rows].copy_(self.denoiser.project(some), non_blocking=True)
        self._settle()

    def _settle(self) -> None:
        """Wait until all is written, before the CPU reads tables that are in its memory."""
        if self.home != self.device:
            torch.cuda.synchronize(self.device)

    def _table(self, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return self._place(torch.empty(self.n_rows, width, dtype=dtype))

    def _place(self, tensor: Tensor) -> Tensor:
        """Bring a tensor where the tables are, pinned when that is not where they are used."""
        if self.home == self.device:
            return tensor.to(self.home)
        return tensor.pin_memory()

    def _places(self) -> Tensor:
        """Rows of the tables where the spots of each sample lie, shape (S, N)."""
        return torch.argsort(self.order).unflatten(0, (self.at_once, -1))

    def _in_order(self, table: Tensor) -> Tensor:
        """Rows in the order of the user, sample by sample, on the CPU."""
        out = torch.empty(table.shape, dtype=table.dtype)
        out[self.order] = table.cpu()
        return out.unflatten(0, (self.at_once, -1))


def draws(
    sampler: SlideSampler, prior: Prior, *, seeds: list[int], n_steps: int
) -> Iterator[Tensor]:
    """Sample the flow for the spots of one slide.

    Parameters
    ----------
    sampler
        The slide and the network, made for as many samples.
    prior
        Where the flow starts.
    seeds
        One for each sample, which is the same whatever is drawn beside it, but for rounding.
    n_steps
        Evaluations of the denoiser for each sample.

    Yields
    ------
    Some samples at a time, shape (S, N, G), on the CPU.
    """
    shape = (sampler.n_rows // sampler.at_once, sampler.denoiser.n_genes)
    for first in range(0, len(seeds), sampler.at_once):
        some = seeds[first : first + sampler.at_once]
        starts = (prior.sample(shape, torch.Generator().manual_seed(each)) for each in some)
        yield sampler.sample(starts, n_steps)


def samples_at_once(n_samples: int, n_spots: int, chunk_size: int) -> int:
    """Choose the largest equal share of the samples that fits into a chunk, at least 1."""
    shares = [n for n in range(1, n_samples + 1) if n_samples % n == 0]
    return max(n for n in shares if n == 1 or n * n_spots <= chunk_size)


def tables_home(n_bytes: int, device: torch.device) -> torch.device:
    """Choose the device itself when tables of that size fit into half of it, or else the CPU."""
    if device.type == "cuda" and n_bytes > torch.cuda.mem_get_info(device)[0] / 2:
        return torch.device("cpu")
    return device


def _raise_trim_threshold() -> None:
    """Let the C library keep what is freed below 32 MiB, as long as a chunk's tensors come and go.

    Freeing a block that was mapped on its own makes glibc map and return only larger ones from
    then on; otherwise the first touch of each fresh page costs more than the arithmetic on it.
    """
    torch.empty(31 * 2**20, dtype=torch.uint8)
