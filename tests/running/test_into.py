"""Opened phases: what an entry of `profile.into` names, and which of the functions called there are timed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import ConfigError
from harness.hosts.base import PassResult
from harness.running import into
from harness.running.into import MOST_CALLS, MOST_TIMED, NO_PROBE, look_into

STEPS = 4
SCHEDULE, EXECUTE, OTHER = "core.Scheduler.schedule", "runner.Runner.execute", "runner.Other.execute"


class Host:
    """Knows some functions, and what it was asked to look into."""

    def __init__(self, *unknown: str) -> None:
        self.unknown, self.asked = unknown, ([], 0)

    def there(self, names: Any) -> list[str]:
        return [name for name in names if name not in self.unknown]

    def look_into(self, names: list[str], depth: int) -> None:
        self.asked = (names, depth)


def anatomy() -> dict[str, Any]:
    return {
        "phases": {
            SCHEDULE: {"label": "schedule", "section": "turn"},
            EXECUTE: {"label": "executing", "section": "turn"},
            OTHER: {"label": "executing", "section": "output"},
        }
    }


def row(name: str, within: str = SCHEDULE, calls: int = STEPS, why: str = "", depth: int = 1) -> dict[str, Any]:
    return {"name": name, "within": within, "depth": depth, "calls": calls, "elapsed_ns": 1, "why": why}


def opened(host: Host, entries: list[str], *found: dict[str, Any], depth: int = 1) -> dict[str, Any]:
    made = anatomy()
    result = PassResult({"step": list(range(STEPS))}, None, None, [], [], found=list(found))
    look_into(host, SimpleNamespace(into=entries, depth=depth), made, lambda: result)
    return made


@pytest.mark.parametrize(
    ("entries", "names"),
    [
        (["schedule"], [SCHEDULE]),
        (["executing"], [EXECUTE, OTHER]),
        ([EXECUTE], [EXECUTE]),
        (["Runner.execute"], [EXECUTE]),
        (["pool.Pool.take"], ["pool.Pool.take"]),
        (["executing", OTHER, "schedule"], [EXECUTE, OTHER, SCHEDULE]),
    ],
)
def test_an_entry_is_a_label_a_name_or_the_end_of_one_and_each_function_is_opened_once(entries, names) -> None:
    host = Host()
    made = opened(host, entries, depth=3)
    assert host.asked == (names, 3)
    assert made["untimed"] == []
    new = {name: about for name, about in made["phases"].items() if name not in anatomy()["phases"]}
    assert new == ({"pool.Pool.take": {"label": "Pool.take", "section": ""}} if "pool.Pool.take" in names else {})


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("execute", rf"^profile\.into: execute is {EXECUTE} and {OTHER}: name one of them in full$"),
        ("gone.Gone.go", "gone.Gone.go is no phase here, and no function by its full name; there are schedule, exec"),
        ("undotted", r"^profile\.into: undotted is no phase .* there are schedule, executing$"),
        ("a.b c", "a.b c is no phase here"),
    ],
)
def test_what_names_no_function_or_several_is_refused_with_what_there_is(entry, said) -> None:
    with pytest.raises(ConfigError, match=said):
        opened(Host("gone.Gone.go"), [entry])


def test_what_is_called_is_timed_under_what_it_was_called_in() -> None:
    made = opened(Host(), ["schedule"], row("pool.Pool.take"), row("pool.Pool.give", within=OTHER, depth=2))
    assert made["phases"] == anatomy()["phases"] | {
        "pool.Pool.take": {"label": "Pool.take", "section": "turn", "within": SCHEDULE, "depth": 1},
        "pool.Pool.give": {"label": "Pool.give", "section": "output", "within": OTHER, "depth": 2},
    }
    assert made["untimed"] == []


def test_what_is_not_timed_is_told_with_why() -> None:
    """A function that is a phase already is neither, and of one called in two places the first counts."""
    often = MOST_CALLS * STEPS
    made = opened(
        Host("lost.f"), ["schedule"],
        row("pool.often", calls=often), row("pool.too_often", calls=often + STEPS, within=EXECUTE),
        row("pool.lazy", why="it is a generator"), row(EXECUTE), row("pool.often", within=EXECUTE, calls=9),
        row("lost.f", calls=6), row("lost.f", within=EXECUTE, calls=7),
    )  # fmt: skip
    assert [name for name in made["phases"] if name not in anatomy()["phases"]] == ["pool.often"]
    assert made["untimed"] == [
        {"name": "lost.f", "within": SCHEDULE, "calls_a_pass": 6, "why": NO_PROBE},
        {
            "name": "pool.too_often", "within": EXECUTE, "calls_a_pass": often + STEPS,
            "why": f"it is called {MOST_CALLS + 1} times a step: a probe would cost more than it shows",
        },
        {"name": "pool.lazy", "within": SCHEDULE, "calls_a_pass": STEPS, "why": "it is a generator"},
    ]  # fmt: skip


@pytest.mark.parametrize(("most", "phases", "room"), [(1000, 3, MOST_TIMED), (8, 3, 5)])
def test_as_many_are_timed_as_there_is_room_for_and_no_more_are_told_of_than_anybody_reads(
    monkeypatch, most, phases, room
) -> None:
    monkeypatch.setattr(into, "MOST", most)
    monkeypatch.setattr(into, "MOST_TOLD", 2)
    made = opened(Host(), ["schedule"], *(row(f"pool.f{number}") for number in range(room + 5)))
    assert len(made["phases"]) == phases + room
    assert [(each["name"], each["why"]) for each in made["untimed"]] == [
        (f"pool.f{room + more}", f"{room} others take longer, and no more are timed at once") for more in (0, 1)
    ]
