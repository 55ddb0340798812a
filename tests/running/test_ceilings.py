"""Arms that may compute less: measured at the end beside the baseline, and never called equal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.analysis.statistics import FEWEST
from harness.analysis.summarise import summarise
from harness.config.file import load
from harness.errors import ConfigError
from harness.records.folder import RunFolder, read_run
from harness.report import write_reports
from harness.running.run import Run
from tests.fakes import FakeHost, Runner, Silent, VirtualClock

CONFIG = """\
engine: {{model: none}}
workload: {{requests: 4, prompt_tokens: 6, output_tokens: 8}}
swap: {where}.Engine.total
arms: [{arms}]
scope: _prepare_inputs
protocol: {{groups: 6, counters: false}}
"""
CLOCK = VirtualClock(reading_ns=10)
NATIVE_US, SAME_US, LESS_US = 100, 80, 30


class Engine(Runner):
    """Its `total` takes 100 us, and is what the step's batch is told by."""

    def __init__(self) -> None:
        super().__init__()
        self.input_batch.served = np.zeros(1, dtype=np.int64)

    def total(self, counts: Any) -> int:
        CLOCK.advance(NATIVE_US * 1000)
        return int(sum(counts))

    def _prepare_inputs(self, scheduler_output: Any) -> None:
        self.input_batch.served[0] = self.total(scheduler_output.num_scheduled_tokens.values())
        super()._prepare_inputs(scheduler_output)


def same(self, counts):
    CLOCK.advance(SAME_US * 1000)
    return sum(counts)


def nothing(self, counts):
    CLOCK.advance(LESS_US * 1000)
    return 0


def fails(self, counts):
    raise ZeroDivisionError("on purpose")


@pytest.fixture
def run(tmp_path):
    def go(*arms: str) -> tuple[Run, Any]:
        path = tmp_path / "config.yaml"
        path.write_text(CONFIG.format(where=__name__, arms=", ".join(arms)))
        made = Run(load(path), FakeHost(CLOCK, Engine()), RunFolder(tmp_path / "run"), Silent())
        return made, made.execute()

    return go


def ceiling(name: str) -> str:
    return f"{{{name}: {{reference: '{__name__}:{name}', ceiling: true}}}}"


EQUAL = f"{{same: '{__name__}:same'}}"


def test_what_a_ceiling_saves_is_told_and_it_has_no_verdict(run) -> None:
    made, outcome = run(EQUAL, ceiling("nothing"))
    assert (outcome.status, outcome.exit_status) == ("complete", 0)
    summary = summarise(read_run(made.folder.path))
    (found,) = summary.ceilings
    assert (found.arm, found.reason) == ("nothing", "")
    assert FEWEST <= found.groups <= 6
    for saved in (found.scope_us, found.step_us):
        assert saved.estimate == pytest.approx(NATIVE_US - LESS_US)
        assert saved.low <= saved.estimate <= saved.high
    assert "nothing" not in summary.arms
    assert "nothing" not in made.facts["equality"]
    assert "nothing" not in made.facts["arms_measured"]
    assert {found.arm for found in summary.comparisons} == {"same", "A/A"}
    assert summary.difference("same", "scope").per_step_us.estimate == pytest.approx(SAME_US - NATIVE_US)


def test_the_report_has_a_table_of_it(run) -> None:
    made, _ = run(EQUAL, ceiling("nothing"))
    write_reports(made.folder.path)
    text = (made.folder.path / "report.md").read_text()
    assert "At most this much could be won" in text
    assert "+70.00" in text


def test_a_ceiling_alone_is_measured_beside_the_baseline(run) -> None:
    made, outcome = run(ceiling("nothing"))
    assert (outcome.status, outcome.exit_status) == ("complete", 0)
    (found,) = summarise(read_run(made.folder.path)).ceilings
    assert found.scope_us.estimate == pytest.approx(NATIVE_US - LESS_US)


def test_one_that_fails_is_named_and_what_was_measured_stays(run) -> None:
    made, outcome = run(EQUAL, ceiling("fails"), ceiling("nothing"))
    assert (outcome.status, outcome.exit_status) == ("complete", 0)
    summary = summarise(read_run(made.folder.path))
    of_fails, of_nothing = summary.ceilings
    assert "ZeroDivisionError: on purpose" in of_fails.reason
    assert of_nothing.scope_us.estimate == pytest.approx(NATIVE_US - LESS_US)
    assert [note for note in made.observer.notes if note.startswith("fails tells nothing of what could be won: ")]
    assert summary.difference("same", "scope") is not None


@pytest.mark.parametrize(
    ("arms", "extra", "said"),
    [
        ([EQUAL, ceiling("nothing")], "baseline: nothing", "is a ceiling, which may compute less"),
        ([EQUAL, "{native: {ceiling: true}}"], "", "ceiling is for an arm that computes less"),
        ([EQUAL, ceiling("nothing")], "grain: launch", "a ceiling is measured in the same engine"),
    ],
)
def test_what_cannot_be_a_ceiling_is_refused(tmp_path, arms, extra, said) -> None:
    path = tmp_path / "config.yaml"
    text = CONFIG.format(where=__name__, arms=", ".join(arms))
    path.write_text(text.replace("groups: 6", f"{extra}, groups: 6") if "grain" in extra else f"{text}{extra}\n")
    with pytest.raises(ConfigError, match=said):
        load(path)
