"""The published program's words for a normalisation, as ours: ``--deconv True`` is ``--norm default``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netdeconv.cli.parser import UsageError, value_of
from netdeconv.models.norm_config import BATCH_NORM, NONE, NORM_NAMES, PLAIN_NORMS, NormConfig

_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_ARCH = ("-a", "--arch", "--model")
NAMES = ("deconv", "batchnorm", "delinear")


def translated(
    arguments: Sequence[str], norm: NormConfig, split: Callable[[str], tuple[str, bool]] = lambda name: (name, False)
) -> tuple[list[str], NormConfig]:
    """Return the arguments in the words of our settings, and the normalisation that they change.

    Args:
        arguments: what was typed.
        norm: of the run where nothing is typed.
        split: what a network's name means: a network, and whether a ``d`` at the end says that it is converted.

    Raises:
        UsageError: when words contradict each other, or say how to whiten where nothing is.
    """
    words, said = _take(arguments)
    named = value_of(words, "--norm")
    arch = value_of(words, *_ARCH)
    if arch is not None:
        plain, converted = split(arch)
        if converted and (said.get("deconv") is False or named in PLAIN_NORMS):
            raise UsageError(f"{arch!r} means {plain!r} converted: leave the d out, or whiten")
        words = _renamed(words, arch, plain)
        said |= {"deconv": True} if converted else {}
    for first, second in _contradictions(said, named, value_of(words, "--block-fc", "--linear-group-size")):
        raise UsageError(f"{first} and {second} contradict each other: leave one of them out")
    if named is None and {"deconv", "batchnorm"} & said.keys():
        plain_norm = NONE if said.get("batchnorm") is False else BATCH_NORM
        named = "default" if said.get("deconv") else plain_norm
        words += ["--norm", named]
    if named is not None:
        norm = NormConfig()  # what a run changed of another normalisation says nothing of this one
    if said.get("delinear") is False:
        words += ["--linear-group-size", "0"]
    elif said.get("delinear") and (named or norm.name) in PLAIN_NORMS:
        raise UsageError(f"--delinear True says how to whiten, but the norm is {named or norm.name}: add --deconv True")
    return words, norm


def _renamed(words: Sequence[str], arch: str, plain: str) -> list[str]:
    """The words with another network."""
    attached = {f"{flag}={arch}": f"{flag}={plain}" for flag in _ARCH}
    pairs = zip(["", *words], words, strict=False)
    return [plain if before in _ARCH and word == arch else attached.get(word, word) for before, word in pairs]


def _take(arguments: Sequence[str]) -> tuple[list[str], dict[str, bool]]:
    """The other words, and what the published ones say."""
    words, said = list[str](), dict[str, bool]()
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        flag, equals, value = word.partition("=")
        name = flag.removeprefix("--").removeprefix("no-")
        if name not in NAMES or not flag.startswith("--"):
            words.append(word)
            continue
        if not equals and waiting and waiting[0].lower() in _TRUTH:
            value = waiting.pop(0)
        if value and value.lower() not in _TRUTH:
            raise UsageError(f"{flag} needs True or False, got {value!r}")
        if not equals and not value and waiting and not waiting[0].startswith("-"):
            raise UsageError(f"{flag} needs True or False, got {waiting[0]!r}")
        said[name] = _TRUTH[value.lower()] if value else not flag.startswith("--no-")
    return words, said


def _contradictions(said: dict[str, bool], norm: str | None, linear: str | None) -> list[tuple[str, str]]:
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
