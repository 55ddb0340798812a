"""The first stage of a run: its engine is started, or is there from the run before, and tells what it is."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError
from harness.running.took import engine_like, last_start_s, remember_took

if TYPE_CHECKING:
    from harness.config.experiment import Experiment
    from harness.hosts.base import Host, HostInfo
    from harness.running.observer import Observer
    from harness.running.shared import SharedEngine

__all__ = ["start_engine"]


def start_engine(
    experiment: Experiment,
    host: Host,
    observer: Observer,
    facts: dict[str, Any],
    shared: SharedEngine | None,
    alone: bool = True,
) -> HostInfo:
    """Start the engine, unless one that runs share has been started; what it is.

    Args:
        experiment: the config.
        host: of the engine.
        observer: is told of the stage.
        facts: the run's facts, which are filled here.
        shared: the engine that this run takes over, or leaves; None for one of its own.
        alone: whether no others may start meanwhile, so that how long it takes is worth remembering.

    Raises:
        ConfigError: the engine took another model runner than the config needs.
    """
    info = shared.info if shared is not None else None
    if info is None:
        observer.stage("starting the engine", 0, last_start_s(experiment))
        began, imported = time.monotonic(), "vllm" in sys.modules
        info = host.start()
        facts["start_s"] = time.monotonic() - began
        if alone and not imported:  # with vLLM's import, which is most of it
            remember_took(engine_like(experiment), facts["start_s"])
        if shared is not None:
            shared.info = info
    _insist_on_runner(experiment, info)
    facts["host"] = dict(vars(info))
    # The model as the config names it, without this machine's paths.
    facts["engine_args"] = {**host.engine_args, "model": experiment.engine["model"]}
    facts["environment"] = host.environment
    return info


def _insist_on_runner(experiment: Experiment, info: HostInfo) -> None:
    """A seam lies elsewhere in each runner."""
    asked = experiment.host
    took = info.details.get("generation", asked.generation)
    if took != asked.generation and not experiment.any_runner:
        why = f"where seam {experiment.seam!r} is depends on it" if experiment.seam else "another one was asked for"
        raise ConfigError(
            f"host.model_runner: {asked.model_runner} was asked for, and {info.engine} {info.version} took a {took} "
            f"runner; set {took}, since {why}"
        )
