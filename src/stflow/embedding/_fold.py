"""Networks as a processor runs them fastest: batch norms folded, activations fused. Torch alone."""

from __future__ import annotations

import copy
from typing import Any

import torch
from timm.layers.padding import pad_same
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

UNTRACEABLE = (
    AttributeError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
    fx.proxy.TraceError,
)
CLAMPS = (nn.Hardtanh,)


def fold(model: nn.Module, *, fuse: bool) -> nn.Module:
    """Copy a network with each batch norm folded into the convolution before it.

    The vectors stay the same but for rounding. A network whose flow cannot be traced is folded
    in the parts that can; one without batch norms comes back as a plain copy.

    Parameters
    ----------
    model
        In evaluation mode; stays as it is.
    fuse
        Whether to compute convolution and clamp (ReLU, ReLU6) in one pass, as oneDNN does on
        the CPU.

    Returns
    -------
    The copy.
    """
    return _fold(copy.deepcopy(model), fuse)


def has_folded(model: nn.Module) -> bool:
    """Whether some part of the network is one that `fold` rewrote."""
    return any(isinstance(part, fx.GraphModule) for part in model.modules())


def _fold(model: nn.Module, fuse: bool) -> nn.Module:
    if not any(isinstance(part, _BatchNorm) for part in model.modules()):
        return model
    try:
        graph = _Tracer().trace(model)
    except UNTRACEABLE:
        for name, child in model.named_children():
            setattr(model, name, _fold(child, fuse))
        return model
    folded = fx.GraphModule(model, graph)
    for node in graph.nodes:
        _fold_norm(folded, node)
    _drop_identities(folded)
    if fuse:
        for node in list(graph.nodes):
            _fuse_clamp(folded, node)
    graph.lint()
    folded.recompile()
    return folded


class _Tracer(fx.Tracer):
    """Looks into everything but convolutions and norms, derived classes included."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        own = isinstance(m, nn.Conv2d | _BatchNorm)
        return own or super().is_leaf_module(m, module_qualified_name)


def _module(model: fx.GraphModule, node: Any) -> nn.Module | None:
    called = isinstance(node, fx.Node) and node.op == "call_module"
    return model.get_submodule(str(node.target)) if called else None


def _fold_norm(model: fx.GraphModule, node: fx.Node) -> None:
    """Fold the norm at a node into the convolution that feeds nothing else."""
    norm = _module(model, node)
    if not isinstance(norm, _BatchNorm) or norm.running_mean is None:
        return
    convolution = _module(model, node.args[0])
    if not isinstance(convolution, nn.Conv2d) or len(node.args[0].users) > 1:  # type: ignore[union-attr]
        return
    fused = fuse_conv_bn_eval(convolution, norm)
    model.set_submodule(str(node.args[0].target), fused)  # type: ignore[union-attr]
    model.set_submodule(str(node.target), getattr(norm, "act", nn.Identity()))


def _drop_identities(model: fx.GraphModule) -> None:
    for node in list(model.graph.nodes):
        if isinstance(_module(model, node), nn.Identity):
            node.replace_all_uses_with(node.args[0])
            model.graph.erase_node(node)


def _fuse_clamp(model: fx.GraphModule, node: fx.Node) -> None:
    """Join a convolution and the clamp that alone follows it."""
    convolution = _module(model, node)
    if not isinstance(convolution, nn.Conv2d) or not FusedConv2d.takes(convolution):
        return
    after = next(iter(node.users), None)
    limits = None
    if len(node.users) == 1 and after is not None:
        limits = _limits(_module(model, after))
    model.set_submodule(str(node.target), FusedConv2d(convolution, limits))
    if after is not None and limits is not None:
        after.replace_all_uses_with(node)
        model.graph.erase_node(after)


def _limits(activation: nn.Module | None) -> tuple[float, float] | None:
    if isinstance(activation, CLAMPS):
        return float(activation.min_val), float(activation.max_val)
    return (0.0, float("inf")) if isinstance(activation, nn.ReLU) else None


class FusedConv2d(nn.Module):
    """A convolution and a clamp in one pass of oneDNN.

    Parameters
    ----------
    convolution
        With zero padding, before the input (timm's "same") or inside.
    limits
        Least and largest value of the result. None: no clamp.
    """

    def __init__(self, convolution: nn.Conv2d, limits: tuple[float, float] | None) -> None:
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias
        self.stride, self.dilation = list(convolution.stride), list(convolution.dilation)
        self.groups, self.kernel_size = convolution.groups, list(convolution.kernel_size)
        self.same = type(convolution).__name__ == "Conv2dSame"
        self.padding = (0, 0) if self.same else convolution.padding
        self.clamp: tuple[str, list[float], str] = ("none", [], "")
        if limits is not None:
            self.clamp = ("hardtanh", [*limits], "")

    @staticmethod
    def takes(convolution: nn.Conv2d) -> bool:
        """Whether this torch has the operation, and the convolution is of a kind that it does."""
        usual = type(convolution) is nn.Conv2d and not isinstance(convolution.padding, str)
        there = hasattr(torch.ops.mkldnn, "_convolution_pointwise")
        same = type(convolution).__name__ == "Conv2dSame"
        return there and (usual or same) and convolution.padding_mode == "zeros"

    def forward(self, tiles: Tensor) -> Tensor:
        """Convolve and clamp."""
        if self.same:
            tiles = pad_same(tiles, self.kernel_size, self.stride, self.dilation)
        return torch.ops.mkldnn._convolution_pointwise(
            tiles,
            self.weight,
            self.bias,
            self.padding,
            self.stride,
            self.dilation,
            self.groups,
            *self.clamp,
        )
