"""An engine that several runs share, one after the other: points of a sweep whose engines would be alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.hosts.needs import needed_arguments
from harness.hosts.starting import resolve_model

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.config.file import Loaded
    from harness.config.sweep import Point
    from harness.hosts.base import Host, HostInfo

__all__ = ["SharedEngine", "by_engine", "engine_arguments"]


@dataclass
class SharedEngine:
    """An engine that a run leaves to the next one.

    Attributes:
        host: of the first run that takes it; None before.
        info: what it is, since it has been started; None where the next run has to start it.
    """

    host: Host | None = None
    info: HostInfo | None = None

    def stop(self) -> None:
        """Stop it, where it runs."""
        self.info = None
        if self.host is not None:
            self.host.stop()


def engine_arguments(loaded: Loaded) -> dict[str, object]:
    """What an engine is started with for this config: what the workload needs, and what the config says."""
    experiment = loaded.experiment
    model = resolve_model(str(experiment.engine["model"]), loaded.folder)
    return {**needed_arguments(experiment.workload), **experiment.engine, "model": model}


def by_engine(points: Sequence[Point], alone: Iterable[int] = ()) -> list[list[Point]]:
    """Points whose engines are alike, together; in the order of each engine's first point.

    Args:
        points: of a sweep.
        alone: numbers of points that start engines of their own, such as those at launch grain.
    """
    apart = set(alone)
    engines: list[tuple[object, list[Point]]] = []
    for point in points:
        experiment = point.loaded.experiment
        own = point.number in apart or experiment.protocol.launches > 1 or experiment.host.kind != "vllm"
        engine = None if own else (experiment.host, engine_arguments(point.loaded))
        for known, together in engines:
            if engine is not None and known == engine:
                together.append(point)
                break
        else:
            engines.append((engine, [point]))
    return [together for _, together in engines]
