"""The published program's words for a normalisation, as ours: ``--deconv True`` is ``--norm default``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from netdeconv.cli.parser import Flag, Typed, UsageError, values_of
from netdeconv.models.norm_config import BATCH_NORM, NONE, NORM_NAMES, PLAIN_NORMS, NormConfig

_ARCH, _NORM, _LINEAR = "config.network.arch", "config.network.norm.name", "config.network.norm.linear_group_size"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Published:
    """Keywords of the published program.

    Args:
        deconv: whiten, and remove batch norm: --norm default; False: --norm batch_norm.
        batchnorm: False, without deconv: --norm none.
        delinear: False: --linear-group-size 0.
    """

    deconv: bool | None = None
    batchnorm: bool | None = None
    delinear: bool | None = None


def translated(
    typed: Sequence[Typed], known: Sequence[Flag], norm: NormConfig, split: Callable[[str], tuple[str, bool]]
) -> tuple[list[Typed], NormConfig]:
    """Return what was typed in the words of our settings, and the normalisation that it changes.

    Args:
        typed: what was typed.
        known: options.
        norm: of the run where nothing is typed.
        split: what a network's name means: a network, and whether a ``d`` at the end says that it is converted.

    Raises:
        UsageError: when words contradict each other, or say how to whiten where nothing is.
    """
    flags, values = {flag.place: flag for flag in known}, values_of(typed)
    said = {place.partition(".")[2]: value == "True" for place, value in values.items() if "published." in place}
    found = [
        Typed(None, each.words[2:]) if each.flag is not None and "published." in each.flag.place else each
        for each in typed
    ]
    named, arch = values.get(_NORM), values.get(_ARCH)

    def say(place: str, value: str) -> None:
        found.append(Typed(flags[place], [flags[place].names[0], value]))

    if arch is not None:
        plain, converted = split(arch)
        if converted and (said.get("deconv") is False or named in PLAIN_NORMS):
            raise UsageError(f"{arch!r} means {plain!r} converted: leave the d out, or whiten")
        if plain != arch:
            say(_ARCH, plain)
        said |= {"deconv": True} if converted else {}
    for first, second in _contradictions(said, named, values.get(_LINEAR)):
        raise UsageError(f"{first} and {second} contradict each other: leave one of them out")
    if named is None and {"deconv", "batchnorm"} & said.keys():
        named = "default" if said.get("deconv") else NONE if said.get("batchnorm") is False else BATCH_NORM
        say(_NORM, named)
    if named is not None:
        norm = NormConfig()  # what a run changed of another normalisation says nothing of this one
    if said.get("delinear") is False:
        say(_LINEAR, "0")
    elif said.get("delinear") and (named or norm.name) in PLAIN_NORMS:
        raise UsageError(f"--delinear True says how to whiten, but the norm is {named or norm.name}: add --deconv True")
    return found, norm


def _contradictions(said: Mapping[str, bool], norm: str | None, linear: str | None) -> list[tuple[str, str]]:
    """Pairs of words that cannot both hold."""
    found = []
    if "delinear" in said and linear is not None and said["delinear"] == (linear == "0"):
        found.append((f"--delinear {said['delinear']}", f"--block-fc {linear}"))
    if said.get("deconv") and said.get("batchnorm"):
        found.append(("--deconv True", "--batchnorm True"))
    if norm in NORM_NAMES:
        meant = {"deconv": norm not in PLAIN_NORMS, "batchnorm": norm == BATCH_NORM}
        found += [
            (f"--norm {norm}", f"--{name} {said[name]}") for name in meant if said.get(name, meant[name]) != meant[name]
        ]
    return found
