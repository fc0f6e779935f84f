"""What a conversion does with each module: decided here, before anything is changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from netdeconv.lookup import look_up
from netdeconv.nn import WhitenedLayer, Whitening
from netdeconv.surgery.gates import gates
from netdeconv.surgery.norms import NormParts, is_norm, norm_parts
from netdeconv.surgery.plain import changed_behaviour, is_plain, plain_base, qualified_name
from netdeconv.surgery.selection import Selection, covered, selected
from netdeconv.surgery.settings import DEFAULT, SETTINGS, Settings
from netdeconv.surgery.tree import names_of

Setting: TypeAlias = Whitening | Literal[False] | None
Choice: TypeAlias = Whitening | Settings | str | Literal[False] | None

# Their fused paths read the weights of their children without calling them.
_READS_WEIGHTS = (nn.MultiheadAttention, nn.TransformerEncoderLayer)
# A first convolution with at most so many input channels reads data, not another layer's output.
_CHANNELS_OF_DATA = 16


def resolve(whitening: Choice, **kinds: Setting) -> Settings:
    """The settings of every kind of layer, from what a user gives for all, and for some kinds."""
    base = _choice(whitening)
    return dataclasses.replace(base, **{kind: _setting(kind, own, getattr(base, kind)) for kind, own in kinds.items()})


def _choice(whitening: Choice) -> Settings:
    if whitening is None:
        return SETTINGS[DEFAULT]
    if whitening is False:
        return Settings()
    if isinstance(whitening, Settings):
        return whitening
    if isinstance(whitening, Whitening):
        return Settings.of(whitening)
    if not isinstance(whitening, str):
        raise TypeError(f"whitening must be a Whitening, a name, Settings, None or False, got {whitening!r}")
    return look_up("settings", whitening, SETTINGS)


def _setting(name: str, value: Setting, default: Whitening | None) -> Whitening | None:
    if value is None:
        return default
    if value is False:
        return None
    if isinstance(value, Whitening):
        return value
    raise TypeError(f"{name} must be a Whitening, None or False, got {value!r}")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be done, by qualified name (the first one of a shared module).

    Args:
        layers: to be whitened.
        norms: to be removed, and what they consist of.
        feeding: by norm the layer to be whitened whose output it normalises, where that is clear from their order.
        skipped: what stays, and why: for the log.
        refused: those of ``skipped`` that a user may not expect: for a warning.
    """

    layers: dict[str, Whitening]
    norms: dict[str, NormParts]
    feeding: dict[str, str]
    skipped: dict[str, str]
    refused: list[str]


def make_plan(
    model: nn.Module,
    whitening: Choice = None,
    *,
    named: Mapping[str, Setting] | None = None,
    select: Selection = None,
    **kinds: Setting,
) -> Plan:
    """Decide what becomes of every module; the model is only looked at. Arguments are those of ``convert``."""
    settings = resolve(whitening, **kinds)
    names = names_of(model)
    stem = next((module for module in names if isinstance(module, _ConvNd)), None)
    chosen = selected(names, select, stem)
    if kinds.get("stem") is None and stem is not None and stem.in_channels > _CHANNELS_OF_DATA:
        settings = dataclasses.replace(settings, stem=settings.convolution)  # it reads another layer's output
    by_name = _by_name(names, named, settings.convolution)
    fused = {child for parent in names if isinstance(parent, _READS_WEIGHTS) for child in parent.modules()}
    in_gates = gates(model)
    layers: dict[str, Whitening] = {}
    skipped: dict[str, str] = {}
    refused: list[str] = []
    for part in _outermost(module for module in chosen if isinstance(module, torch.jit.ScriptModule)):
        skipped[names[part][0]] = "it is scripted, and its layers are out of reach"
        refused.append(names[part][0])
    for module, own in names.items():
        if module not in chosen or isinstance(module, WhitenedLayer) or plain_base(module) is None:
            continue
        if module in fused:
            skipped[own[0]] = "its parent reads the weight without calling it"
            continue
        kind = _kind(module, stem, in_gates)
        which, own_whitening = by_name.get(module, (kind, getattr(settings, kind)))
        refusal = _refusal(module)
        if own_whitening is None:
            skipped[own[0]] = f"{which} layers are to be left as they are"
        elif refusal is not None:
            skipped[own[0]] = refusal
            refused.append(own[0])
        else:
            layers[own[0]] = own_whitening
    converted = {model.get_submodule(name) for name in layers}
    norms: dict[str, NormParts] = {}
    feeding: dict[str, str] = {}
    if settings.convolution is not None:
        neighbours = _neighbours(list(names), converted)
        for norm in (norm for norm in _outermost_norms(names) if norm in chosen and converted):
            name, parts, layer = names[norm][0], norm_parts(norm), neighbours.get(norm)
            if norm not in neighbours:
                skipped[name] = "the layers beside it stay as they are"
            elif parts is not None:
                norms[name] = parts
                if layer is not None:
                    feeding[name] = names[layer][0]
            else:
                skipped[name] = f"{qualified_name(type(norm))} is a norm that may do more than normalise"
                refused.append(name)
    return Plan(layers, norms, feeding, skipped, refused)


def _by_name(
    names: Mapping[nn.Module, Sequence[str]], named: Mapping[str, Setting] | None, default: Whitening | None
) -> dict[nn.Module, tuple[str, Whitening | None]]:
    """For every module that a pattern covers the last such pattern, in words, and its whitening."""
    if named is not None and not isinstance(named, Mapping):
        raise TypeError(f"named must be a mapping of name patterns to settings, got {named!r}")
    return {
        module: (f"{pattern!r}", _setting(f"named[{pattern!r}]", own, default))
        for pattern, own in (named or {}).items()
        for module in covered(names, pattern, argument="named")
    }


def _kind(layer: nn.Module, stem: nn.Module | None, in_gates: set[nn.Module]) -> str:
    if layer is stem:
        return "stem"
    if layer in in_gates:
        return "gate"
    if isinstance(layer, nn.Linear):
        return "linear"
    assert isinstance(layer, _ConvNd)
    if layer.groups == 1:
        return "convolution"
    return "depthwise" if layer.groups == layer.in_channels else "grouped"


def _refusal(layer: nn.Module) -> str | None:
    """Why this layer cannot be converted, or None."""
    base = plain_base(layer)
    assert base is not None
    changed = changed_behaviour(layer, base)
    if changed is not None:
        return changed
    assert is_plain(layer)
    if not isinstance(layer._parameters.get("weight"), torch.Tensor):
        return "its weight is no parameter (computed by weight_norm or the like)"
    if not layer.weight.is_floating_point():
        return f"its weight is {layer.weight.dtype}"
    return None


def _outermost(modules: Iterable[nn.Module]) -> list[nn.Module]:
    found = list(modules)
    within = {part for module in found for part in module.modules() if part is not module}
    return [module for module in found if module not in within]


def _outermost_norms(modules: Iterable[nn.Module]) -> list[nn.Module]:
    return _outermost(module for module in modules if is_norm(module))


def _neighbours(modules: Sequence[nn.Module], converted: set[nn.Module]) -> dict[nn.Module, nn.Module | None]:
    """Norm layers that a converted layer feeds (then with it), or that feed one, by registration order and channels.

    The nearest layer before a norm feeds it if it has as many outputs as the norm has channels: where that one stays
    plain, so does its norm. Where it has another number, the layer after the norm decides.
    """
    outermost = {*_outermost_norms(modules)}
    order = [m for m in modules if m in outermost or isinstance(m, WhitenedLayer) or plain_base(m)]
    norms = [m in outermost for m in order]
    found: dict[nn.Module, nn.Module | None] = {}
    for index, module in enumerate(order):
        if norms[index]:
            before = next((order[i] for i in range(index - 1, -1, -1) if not norms[i]), None)
            after = next((order[i] for i in range(index + 1, len(order)) if not norms[i]), None)
            channels = _first_number(module, "num_features", "num_channels")
            fed = before is not None and channels in (None, _first_number(before, "out_features", "out_channels"))
            if before in converted if fed else before in converted or after in converted:
                found[module] = before if fed else None
    return found


def _first_number(module: nn.Module, *names: str) -> int | None:
    values = (getattr(module, name, None) for name in names)
    return next((value for value in values if isinstance(value, int)), None)
