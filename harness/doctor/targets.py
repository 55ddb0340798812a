"""What a config names in the vLLM that is imported: the seam, the scope, probes and arms."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

from harness.doctor.finding import Finding, check
from harness.errors import HarnessError
from harness.instrument.arms import load_arm, load_object
from harness.instrument.scopes import AUTO, parts
from harness.instrument.targets import resolve
from harness.seams import NATIVE, SEAMS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.config.experiment import Arm
    from harness.config.file import Loaded
    from harness.instrument.targets import Target
    from harness.seams import Place

__all__ = ["examine_targets", "function_at", "scope_in"]


def examine_targets(loaded: Loaded, runner_path: str) -> Iterator[Finding]:
    """Seam, scope, probes and arms of a config, in the vLLM that is imported."""
    experiment = loaded.experiment
    seam = SEAMS.get(experiment.seam)
    place = None
    if seam is not None:
        place = seam.places[experiment.host.generation]  # the config would not have been loaded without one
        yield check("seam", lambda: f"{seam.name}: {function_at(place)}")
    if experiment.swap:
        yield check("swap", lambda: f"{experiment.swap}: {_held(experiment.swap, [])}")
    yield check("scope", lambda: scope_in(runner_path, experiment.scope))
    known: list[Target] = []
    for probe in experiment.probes:
        if seam is not None and place is not None and probe == seam.probe:
            yield Finding("ok", "probe", f"{probe}: {place.target}")
        else:
            yield check("probe", lambda probe=probe: f"{probe}: {_held(probe, known)}")
    for arm in experiment.arms:
        if arm.name != NATIVE:
            module = place.module if place is not None else ""
            yield check("arm", lambda arm=arm, module=module: f"{arm.name}: {_arm(arm, module, loaded.folder)}")


def function_at(place: Place) -> str:
    """The function at a seam with its parameters, if they are known ones."""
    parameters = importlib.import_module(place.module).check_signature(resolve(place.target).function)
    return f"{place.target.rpartition('.')[2]}({', '.join(parameters)})"


def scope_in(runner_path: str, scope: str) -> str:
    """The scope, and the runner that has its methods."""
    if scope == AUTO:
        return "auto: the phases are found from the checking pass"
    runner = load_object(runner_path)
    for method in parts(scope):
        if "." in method:
            resolve(method)
        elif not callable(getattr(runner, method, None)):
            raise HarnessError(f"{runner.__name__} has no method {method!r}")
    return scope if all("." in method for method in parts(scope)) else f"{scope} of {runner.__name__}"


def _held(probe: str, known: list[Target]) -> str:
    """Where a probe's function is; `known` has those of the probes before it, and takes this one."""
    target = resolve(probe)
    if same := next((other.name for other in known if other.is_same(target)), ""):
        raise HarnessError(f"{same} and {probe} are the same function; name it once")
    known.append(target)
    if target.owner is not None:
        return f"method of {target.owner.__name__}"
    places = len(target.module_slots)
    return f"held under {places} name{'' if places == 1 else 's'}"


def _arm(arm: Arm, module: str, folder: Path) -> str:
    """Where an arm is, once it has been loaded and is one."""
    change = os.path.relpath(folder / arm.change) if arm.change else ""  # `foresee` has looked into it
    if arm.setting:
        return f"a setting: its engines are started otherwise{', with ' * bool(change)}{change}"
    if change:
        return change
    where, _, name = arm.reference.rpartition(":")
    in_file = where.endswith(".py")
    reference = f"{folder / where}:{name}" if in_file else arm.reference
    if module:
        importlib.import_module(module).check_arm(load_arm(arm.name, reference))
    elif not callable(load_object(reference)):
        raise HarnessError(f"arm {arm.name!r}: {reference} is no function")
    return os.path.relpath(folder / where) if in_file else arm.reference
