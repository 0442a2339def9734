"""Checks of the installed packages against what mindssd requires."""

from collections.abc import Sequence
from importlib import metadata

from packaging.requirements import Requirement

from mindssd.doctor.finding import Finding

ENGINES = ("mindspore", "torch")
"""The extras that bring an engine."""


def check_packages(requirements: Sequence[str] | None = None) -> list[Finding]:
    """What mindssd and the engines that are here require against what is installed.

    An engine of which nothing is installed is not missed, unless there is no other.
    """
    if requirements is None:
        requirements = metadata.requires("mindssd") or []
    parsed = [Requirement(text) for text in requirements]
    by_extra = {
        extra: [wanted for wanted in parsed if _asks(wanted, extra)]
        for extra in ("", "train", *ENGINES)
    }
    core = {wanted.name for wanted in by_extra[""]}  # an engine may ask for another version of it
    here = [
        extra
        for extra in ENGINES
        if any(wanted.name not in core and _version(wanted) for wanted in by_extra[extra])
    ]
    findings, fitting = [], []
    for extra, group in by_extra.items():
        is_absent = extra in ENGINES and extra not in here
        if is_absent and here:
            continue
        for wanted in group:
            if is_absent and wanted.name in core:
                continue
            name, version = wanted.name, _version(wanted)
            exactly = f"pip install '{name}{wanted.specifier}'"
            if version is None:
                install = f"pip install 'mindssd[{extra}]'" if extra else exactly
                findings.append(Finding("problem", "package", f"{name} is not installed", install))
            elif wanted.specifier.contains(version, prereleases=True):
                fitting.append(f"{name} {version}")
            else:
                text = f"{name} {version}; expected {wanted.specifier}"
                findings.append(Finding("problem", "package", text, exactly))
    if fitting:
        findings.insert(0, Finding("ok", "packages", ", ".join(dict.fromkeys(fitting))))
    return findings


def _asks(wanted: Requirement, extra: str) -> bool:
    """Whether a requirement is that extra's; without one, whether it is everybody's."""
    if wanted.name == "mindssd":
        return False
    if wanted.marker is None:
        return not extra
    for_all = wanted.marker.evaluate({"extra": ""})
    return for_all if not extra else wanted.marker.evaluate({"extra": extra}) and not for_all


def _version(wanted: Requirement) -> str | None:
    try:
        return metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return None
