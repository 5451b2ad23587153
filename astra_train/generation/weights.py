"""New weights into a model, all of them or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from astra_train.generation.errors import WeightsError

_SHOWN = 5


def load_weights(model: nn.Module, named_tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Copy tensors into the model's own, cast to their type and device.

    Every parameter must be there under one of its names (tied ones have two, such as the embedding and the output
    layer); buffers that a checkpoint holds may be. Nothing is changed when anything is wrong.

    Raises: WeightsError naming what is unknown, missing, given twice or of another shape.
    """
    own: Mapping[str, Tensor] = model.state_dict(keep_vars=True)
    given: dict[str, Tensor] = {}
    for name, tensor in named_tensors:
        if name in given:
            raise WeightsError(f"weights: {name!r} is given twice")
        given[name] = tensor
    if unknown := [name for name in given if name not in own]:
        raise WeightsError(f"weights: the model has no {_some(unknown)}; its names are like {_some(list(own)[:2])}")
    there = {id(own[name]) for name in given}
    required = {id(parameter): name for name, parameter in model.named_parameters()}
    if missing := [name for address, name in required.items() if address not in there]:
        raise WeightsError(f"weights: {_some(missing)} not given; an update needs every parameter")
    for name, tensor in given.items():
        if tensor.shape != own[name].shape:
            raise WeightsError(f"weights: {name!r} must have shape {_shape(own[name])}, found {_shape(tensor)}")
    _check_tied(own, given)
    with torch.no_grad():
        for name, tensor in given.items():
            own[name].copy_(tensor)


def _check_tied(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    first: dict[int, str] = {}
    for name, tensor in given.items():
        other = first.setdefault(id(own[name]), name)
        if other != name and tensor is not given[other] and not torch.equal(tensor, given[other]):
            raise WeightsError(
                f"weights: {other!r} and {name!r} are one tensor in this model, but differ in the update"
            )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(repr, names[:_SHOWN])) + more


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
