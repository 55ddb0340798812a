"""What a config may say, validated. Reading the file, and errors with line numbers, are in `file`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import Field, field_validator, model_validator

from harness.config.arms import MOST_ARMS, SETTINGS, Arm, arm_of, why_unfit, with_native
from harness.config.host import Host, place_of
from harness.config.profile import Profile, native_alone
from harness.config.protocol import Equality, Flamegraph, Protocol, Until
from harness.config.references import dotted, is_function_name
from harness.config.strict import Strict
from harness.config.unserved import why_not_served
from harness.config.workload import Length, SyntheticWorkload, TraceWorkload, Workload
from harness.errors import in_line
from harness.instrument.scopes import AUTO, JOIN, parts
from harness.records.recorded import DOTTED
from harness.seams import NATIVE, SEAMS, how_to_get, swapped

if TYPE_CHECKING:
    from pydantic import ValidationInfo

    from harness.seams import Place

__all__ = [
    "Arm",
    "Equality",
    "Experiment",
    "Flamegraph",
    "Host",
    "Length",
    "Protocol",
    "Strict",
    "SyntheticWorkload",
    "TraceWorkload",
    "Until",
    "Workload",
]

MOST_WORKERS: Final = 1_024
SweepKey = Annotated[str, Field(pattern=r"^(host|engine|workload|sampling|protocol)(\.\w+)+$", max_length=200)]
"""A key whose values change what is run, and not what is compared."""
SweepValues = Annotated[list[Any], Field(min_length=2, max_length=100)]


class Experiment(Strict):
    """A whole config.

    Attributes:
        title: over the report.
        host: which engine.
        engine: its arguments, passed on untouched.
        workload: the requests of a pass.
        seam: a place of the project's own at which classes are put in; empty where there is none.
        swap: instead, the dotted name of the host's function that the arms' functions replace; both are empty where all
            arms but native are patches or trees.
        arms: what is compared; without a seam native is one of them, whether or not the config names it.
        baseline: the arm that the others are held against.
        scope: the methods inside which time counts, joined by `+` where there are several (a list in YAML is joined):
            the model runner's by their names, any other by its dotted name. Left out, it is where the seam is, and
            without a seam `auto`: the instrument finds the phases from the checking pass.
        probes: functions whose calls are timed.
        equality: what of the step's fingerprint is not compared.
        protocol: how it is measured.
        flamegraph: how py-spy samples.
        profile: instead of arms: tell where a turn's time goes, by phase; None where arms are compared.
        sweep: by key the values that it goes through, a run at each (`config.sweep`); two keys at most.
    """

    title: str = Field(default="", max_length=500)
    host: Host = Host()
    engine: dict[str, Any]
    workload: Workload
    seam: str = ""
    swap: str = Field(default="", max_length=300)
    arms: Annotated[list[Arm], Field(min_length=1, max_length=MOST_ARMS)]
    baseline: str
    scope: Annotated[str, Field(pattern=rf"^{DOTTED}( \+ {DOTTED})*$", max_length=500)] = ""
    probes: list[Annotated[str, Field(max_length=300)]] = Field(default_factory=list, max_length=100)
    equality: Equality = Equality()
    protocol: Protocol = Protocol()
    flamegraph: Flamegraph = Flamegraph()
    profile: Profile | None = None
    sweep: Annotated[dict[SweepKey, SweepValues], Field(max_length=2)] = Field(default_factory=dict)

    @property
    def swapped(self) -> str:
        """The name under which probes and tables have the function that is replaced; empty where there is none."""
        return swapped(self.seam, self.swap)

    @property
    def any_runner(self) -> bool:
        """Whether each model runner that vLLM may take is right: none is asked for, and no seam lies in one."""
        return self.host.kind == "vllm" and self.host.model_runner == "auto" and not self.seam

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        value = dict(value)
        if value.get("profile") is not None:
            value = native_alone(value)
        if isinstance(value.get("workload"), dict):
            value["workload"] = {"kind": "synthetic", **value["workload"]}
        place, seam = place_of(value), value.get("seam", "")
        if isinstance(value.get("arms"), list):
            value["arms"] = [arm_of(entry, place) for entry in value["arms"]]
            first = next(iter(value["arms"]), None)
            if "baseline" not in value and seam == "":
                value["baseline"] = NATIVE
            elif "baseline" not in value and isinstance(first, dict) and "name" in first:
                value["baseline"] = first["name"]
        elif "arms" not in value and value.get("swap"):
            raise ValueError("arms: is missing: say what replaces the function, as in `- fast: mine.py:function`")
        arms = value["arms"] if isinstance(value.get("arms"), list) else []
        started = any(isinstance(arm, dict) and not SETTINGS.isdisjoint(arm) for arm in arms)
        if (seam == "" or started) and isinstance(value.get("protocol", {}), dict):
            value["protocol"] = {"grain": "auto", **value.get("protocol", {})}
        scope = value.get("scope") or AUTO
        if scope == AUTO and seam != "":
            scope = place.scope if place is not None else "_prepare_inputs"
        value["scope"] = JOIN.join(map(str, scope) if isinstance(scope, list) else parts(str(scope)))
        return value

    @field_validator("swap")
    @classmethod
    def _a_function(cls, swap: str) -> str:
        if swap and not is_function_name(swap):
            raise ValueError(f"{in_line(repr(swap), 60)} names no function: write package.module.function")
        return swap

    @field_validator("arms")
    @classmethod
    def _with_native(cls, arms: list[Arm], info: ValidationInfo) -> list[Arm]:
        if info.data.get("seam") != "":
            return arms
        if len(found := with_native(arms)) > MOST_ARMS:
            raise ValueError(f"there are {len(found)} with native; write at most {MOST_ARMS}")
        return found

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        place = self._place()
        if why := why_unfit(self.arms, self.seam, self.swap, list(place.arms) if place is not None else []):
            raise ValueError(why)
        names = [arm.name for arm in self.arms]
        scopes = parts(self.scope)
        for names_of, label in ((names, "arms"), (self.probes, "probes"), (scopes, "scope")):
            if twice := sorted({name for name in names_of if names_of.count(name) > 1}):
                raise ValueError(f"{label}: {', '.join(twice)} is named twice")
        if AUTO in scopes and len(scopes) > 1:
            raise ValueError(f"scope: {AUTO} stands alone: leave it or the others out")
        self._check_probes(place.target if place is not None else "")
        self._check_protocol()
        if self.baseline not in names:
            raise ValueError(f"baseline: {in_line(repr(self.baseline), 60)} is none of the arms ({', '.join(names)})")
        if next(arm for arm in self.arms if arm.name == self.baseline).ceiling:
            raise ValueError(f"baseline: {self.baseline!r} is a ceiling, which may compute less: take another")
        if self.protocol.grain == "launch" and any(arm.ceiling for arm in self.arms):
            raise ValueError("protocol: grain: a ceiling is measured in the same engine: write auto, step or pass")
        self._check_engine()
        if why := why_not_served(self.workload, self.host, self.engine):
            raise ValueError(why)
        return self

    @field_validator("sweep")
    @classmethod
    def _different_points(cls, sweep: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for key, values in sweep.items():
            if any(not isinstance(value, bool | int | float | str) or len(str(value)) > 200 for value in values):
                raise ValueError(f"{key}: write numbers, short texts, true or false")
            if len({repr(value) for value in values}) < len(values):
                raise ValueError(f"{key}: a value is given twice: keep one")
        return sweep

    def _place(self) -> Place | None:
        """Where the seam is; None where there is none."""
        if self.seam and self.swap:
            raise ValueError("swap: seam and swap both say what is replaced: leave one out")
        if not self.seam:
            if self.host.kind == "vllm_v0" and self.profile is None:
                raise ValueError("seam: is missing: vllm_v0 takes arms at a seam alone, and neither swap nor patches")
            return None
        if self.seam not in SEAMS:
            raise ValueError(f"seam: there is no seam {in_line(repr(self.seam), 60)}; there are {', '.join(SEAMS)}")
        places = SEAMS[self.seam].places
        if self.host.generation not in places:
            raise ValueError(f"seam: {self.seam!r} is not in this runner: {how_to_get(places)}")
        return places[self.host.generation]

    def _check_engine(self) -> None:
        if "model" not in self.engine:
            raise ValueError("engine: `model` is missing: a folder with a config.json, or a hub name")
        if not isinstance(self.engine["model"], str) or not self.engine["model"]:
            raise ValueError(
                f"engine: `model` is {in_line(repr(self.engine['model']), 60)}: write a folder or a hub name"
            )
        for parallel in ("tensor_parallel_size", "pipeline_parallel_size"):
            size = self.engine.get(parallel, 1)
            if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= MOST_WORKERS:
                raise ValueError(
                    f"engine: {parallel} is {in_line(repr(size), 60)}: write a whole number from 1 to {MOST_WORKERS}"
                )
        if "worker_extension_cls" in self.engine:
            raise ValueError("engine: worker_extension_cls is how harness gets into the engine; leave it out")

    def _check_protocol(self) -> None:
        if self.seam and self.protocol.grain == "launch":
            raise ValueError("protocol: grain: at a seam arms change between steps or passes: write step or pass")
        if self.protocol.exposed and not self.swapped:
            raise ValueError("protocol: exposed plants delays behind one function: give swap or seam, or leave it out")

    def _check_probes(self, target: str) -> None:
        """Each probe is a dotted name, or short for the seam's `target`; none is named twice."""
        own = self.swapped if self.seam else ""
        known: dict[str, str] = {}
        for probe in self.probes:
            name = target if own and probe == own else dotted(probe)
            if not is_function_name(name):
                short = f", or {own} for what the seam swaps" if own else ""
                raise ValueError(
                    f"probes: {in_line(repr(probe), 60)} names no function: write package.module.function{short}"
                )
            if name in known:
                raise ValueError(f"probes: {known[name]} and {probe} are the same function; name it once")
            known[name] = probe
