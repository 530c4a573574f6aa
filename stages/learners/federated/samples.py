"""Gradients image by image, of whole networks: Opacus' rules a layer, where its own hooks and layers do not reach.

Batch normalisation is replaced by `FixedNorm`. Opacus' own answer, group normalisation, is another network, which pretrained weights do not fit.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from segmentation.probe import probe_images
from stages.errors import ModelError
from stages.learners.network.network import Network

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from opacus import GradSampleModule
    from opacus.grad_sample.functorch import prepare_layer
    from opacus.utils.tensor_utils import unfold2d

__all__ = ["FixedNorm", "fix_norms", "sample_gradients"]


class FixedNorm(nn.Module):
    """Batch normalisation whose statistics stay: every channel of every image by itself is scaled and shifted.

    It shares weight, bias and statistics with the layer that it stands for, under the same names, and says what that says in evaluation.

    Args:
        norm: Batch normalisation with weight and bias, of torch, or timm's with an activation behind it.
    """

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps
        self.running_mean: torch.Tensor
        self.running_var: torch.Tensor
        for name, value in norm.named_buffers(recurse=False):
            self.register_buffer(name, value)
        for name, layer in norm.named_children():
            self.add_module(name, layer)

    def normalised(self, images: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Return images (B, C, ...) of the same shape.

        Args:
            images: (B, C, ...).
            weight: (C,), or (B, C) for one of its own an image.
            bias: The same.
        """
        shape = (-1, images.shape[1], *(1,) * (images.ndim - 2))
        mean, deviation = self.running_mean.view(shape), (self.running_var + self.eps).sqrt().view(shape)
        found = (images - mean) / deviation * weight.view(shape) + bias.view(shape)
        for layer in self.children():
            found = layer(found)
        return found

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return images (B, C, ...) of the same shape."""
        return self.normalised(images, self.weight, self.bias)


def fix_norms(module: nn.Module) -> None:
    """Put a `FixedNorm` in place of every batch normalisation below a module; one that has no weights is put into evaluation."""
    for name, layer in list(module.named_children()):
        if isinstance(layer, _BatchNorm) and layer.weight is not None and layer.running_mean is not None:
            setattr(module, name, FixedNorm(layer))
        elif isinstance(layer, _BatchNorm):
            layer.eval()
        else:
            fix_norms(layer)


def sample_gradients(network: Network, learning: Sequence[str], size: int) -> None:
    """Have the backward pass of a network leave every parameter's gradient image by image, in `grad_sample`.

    The hooks stay. Two images are tried first: neither may have a say in what is said of the other, and the gradients of both must add up
    to the one that the backward pass finds without hooks.

    Args:
        network: Whose batch normalisation is replaced where the backbone learns.
        learning: Names of the parameters that learn; all others are frozen.
        size: Side of the images in px, to try it.

    Raises:
        ModelError: If a layer of the backbone does not keep images apart.
    """
    if hasattr(network, "autograd_grad_sample_hooks"):
        return
    names = set(learning)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in names)
    if all(name.startswith("head.") for name in names):
        _Samples(network)
        return
    fix_norms(network.backbone)
    kept = network.training
    try:
        with torch.random.fork_rng(), torch.enable_grad():
            reason = _unfit(network.train(), probe_images(2, size))
    except (RuntimeError, NotImplementedError, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
    network.train(kept)
    if reason:
        raise ModelError(
            f"Expected a backbone whose layers keep images apart, to clip its gradients image by image, but {type(network.backbone).__name__} does not: {reason}; "
            "do train the head alone, by --dp-train head, or choose another --backbone"
        )


def _unfit(network: Network, images: torch.Tensor) -> str:
    """Attach the hooks and say what is wrong with what they find, or nothing."""
    images = images.to(network.mean).requires_grad_()
    fix_norms(network.backbone)  # those without weights, since `train` has woken them
    (pull,) = torch.autograd.grad(network(images)[0].logsumexp(dim=0), images)
    if pull[1].nan_to_num().any():
        return "what it says of an image hangs on the others of its batch"
    _Samples(network)
    network(images.detach()).logsumexp(dim=1).mean().backward()
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        found, whole = getattr(parameter, "grad_sample", None), parameter.grad
        if found is None or whole is None or len(found) != len(images):
            return f"{name} has no gradient of every image"
        apart = (found.mean(dim=0) - whole).abs().max()
        if apart > 1e-3 * found.abs().max() + 1e-6:  # false of what is not finite, which training will say
            return f"the gradients of {name} do not add up"
        parameter.grad, parameter.grad_sample = None, None  # type: ignore[attr-defined]
    return ""


class _Samples(GradSampleModule):  # type: ignore[misc]
    """Opacus' rules, asked by hooks on what layers say: hooks on layers themselves forbid to change it in place, as many networks do."""

    GRAD_SAMPLERS: dict[type[nn.Module], Any]

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network, strict=False)

    def add_hooks(self, **more: Any) -> None:
        """Attach them to every layer that learns."""
        layers = list(self.iterate_submodules(self._module))
        for layer in layers:
            if type(layer) not in self.GRAD_SAMPLERS:
                prepare_layer(layer)  # keeps a copy, which shall have no hooks
        self._module.autograd_grad_sample_hooks = self.autograd_grad_sample_hooks = [
            layer.register_forward_hook(self._said) for layer in layers
        ]
        self.enable_hooks()

    def _said(self, layer: nn.Module, asked: Any, said: Any) -> None:
        if not isinstance(said, torch.Tensor):
            raise NotImplementedError(f"{type(layer).__name__} gives more than one answer")
        if not said.requires_grad or not layer.training:
            return
        self.capture_activations_hook(layer, asked, said)

        def pulled(gradient: torch.Tensor) -> None:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", UserWarning
                )  # attention has no rule of its own under `vmap`: slow
                self.capture_backprops_hook(layer, None, (gradient,), "mean", batch_first=True)

        said.register_hook(pulled)  # type: ignore[no-untyped-call]


def _fixed_norm_samples(
    layer: FixedNorm, asked: Sequence[torch.Tensor], pull: torch.Tensor
) -> dict[torch.Tensor, torch.Tensor]:
    images = asked[0].to(pull.dtype)
    own = [
        one.detach().expand(len(images), -1).clone().requires_grad_() for one in (layer.weight, layer.bias)
    ]
    with torch.enable_grad():
        said = layer.normalised(images, *own)
    return dict(zip((layer.weight, layer.bias), torch.autograd.grad(said, own, pull), strict=True))


def _conv_samples(
    layer: nn.Conv2d, asked: Sequence[torch.Tensor], pull: torch.Tensor
) -> dict[torch.Tensor, torch.Tensor]:
    """Return what Opacus returns, group by group: of all pairs of channels it would keep one in `groups`."""
    # Where channels lie last, `unfold` takes the wrong patches, silently; of 1 x 1 images, which lie both ways, `contiguous` is none.
    images = asked[0].to(pull.dtype).clone(memory_format=torch.contiguous_format)
    patches = unfold2d(
        images, kernel_size=layer.kernel_size, padding=layer.padding, stride=layer.stride, dilation=layer.dilation
    )  # fmt: skip
    count, places = len(pull), patches.shape[-1]
    found = {}
    if layer.weight.requires_grad:
        said = pull.reshape(count, layer.groups, -1, places)
        weight = torch.einsum("ngoq,ngpq->ngop", said, patches.view(count, layer.groups, -1, places))
        found[layer.weight] = weight.reshape(count, *layer.weight.shape)
    if layer.bias is not None and layer.bias.requires_grad:
        found[layer.bias] = pull.flatten(2).sum(dim=2)
    return found


_Samples.GRAD_SAMPLERS = GradSampleModule.GRAD_SAMPLERS | {
    nn.Conv2d: _conv_samples,
    FixedNorm: _fixed_norm_samples,
}
