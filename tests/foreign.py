"""Run folders as a stranger could have made them: small whole ones, and ways to change them."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from harness.instrument.counters import COUNTERS, SEEN_CALLS
from harness.records.folder import RunFolder
from harness.seams import AA
from tests.analysis.test_summarise import make_run

PROBES = ["torch.cat", "compute_slot_mapping"]
GROUPS, STEPS = 4, 5
MEASURED = ["list", "array", AA, "planted 0 us", "planted 5 us"]

HOSTILE = [
    "\x1b[31mred", "one\n# A heading of its own", "<script>alert(1)</script>", "[bold]marked[/bold]", "[/x]",
    "../../outside", "/tmp/outside", "[a](javascript:alert(1))", "`code", "a|b", "\ud800", "\u202eback", "x" * 6000,
    "", "$x^2", "list", "A/A", "&lt;b&gt;", "\\<b>", "{{ 7 * 7 }}", "%s %(x)s {0}",
]  # fmt: skip
"""Texts that are none of ours."""
MARKS = ("\x1b", "\n# A heading", "\u202e")
"""What of them must reach no output as it is."""


def markup_in(name: str, text: str) -> list[str]:
    """What of a page would be obeyed as a script or as an address to run: of report.html, or of Markdown."""
    if name.endswith("html"):
        page = _Elements(text)
        links = [link for link in page.links if re.match(r"(?!data:(image|,$))\w+:", link)]
        return [*links, *(name for name in page.names if name == "script")]
    without_code = re.sub(r"(?<![\\`])(`+)(?!`).*?(?<!`)\1(?!`)", "", text)
    return re.findall(r"(?<!\\)<script|(?<=\])\(javascript:", without_code)


class _Elements(HTMLParser):
    """Names of elements, and addresses of links."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.links += [value or "" for name, value in attributes if name in ("href", "src")]


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 5), st.integers(),
    st.sampled_from([2**31, 2**63, 10**15, 10**16, 10**400, -1, 0.5, 1e308, -1e308, 1e-308]),
    st.floats(), st.sampled_from(HOSTILE), st.text(max_size=12),
)  # fmt: skip
VALUES = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=4),
    st.dictionaries(st.sampled_from([*HOSTILE, "name", "equal", "count"]), SCALARS, max_size=3),
    st.sampled_from([10, 40, 300]).map(lambda depth: json.loads("[" * depth + "]" * depth)),
)


def make_run_folder(path: Path, seed: int = 0) -> Path:
    """A run that has everything: planted arms, counters, a device's clock, flamegraphs."""
    rng = np.random.default_rng(seed)
    run = make_run()
    run["config"]["probes"] = PROBES
    run["config"]["protocol"] |= {"groups": GROUPS, "exposed": [5.0]}
    run["config"]["arms"] = [{"name": name, "reference": f"m:{name}"} for name in ("list", "array", "wrong")]
    run["arms_measured"] = MEASURED
    run["steps"] = {
        "count": STEPS,
        "num_reqs": [3] * STEPS,
        "num_tokens": [16, 3, 3, 3, 3],
        "num_prefills": [3, 0, 0, 0, 0],
    }
    run |= {"plan": {"groups": GROUPS, "expected_s": 9.0, "asked_s": 9.0, "fit": GROUPS}, "selftest": "none"}
    recording = {
        "rate_hz": 200, "native": False, "nonblocking": False, "samples": 300, "errors": 1, "behind_s": 0.1,
        "seconds": 1.5, "scope_samples": 100, "whole": False, "step_samples": 200, "passes": 3, "steps": 9,
        "step_us": 500.0, "sampled_step_us": 900.0,
    }  # fmt: skip
    run["flamegraphs"] = {"list": recording, "array": recording}
    run["load_average_at_end"] = [0.5, 0.4, 0.3]
    del run["schema"]
    folder = RunFolder(path)
    folder.write_run(run)
    treatments = [(arm, probed) for arm in MEASURED for probed in (True, False)]
    number = 0
    for group in range(GROUPS):
        orders = [rng.permutation(len(treatments)) for _ in range(STEPS)]
        for place in range(len(treatments)):
            folder.write_pass(
                number, _a_pass(rng, number, group, [treatments[order[place]] for order in orders]), complete=True
            )
            number += 1
    folder.join_passes()
    steps = [
        {"arm": arm, "step": step, **dict.fromkeys((*COUNTERS, f"torch.cat.{SEEN_CALLS}"), 9)}
        for arm in ("list", "array")
        for step in range(2)
    ]
    folder.write_counters({name: [row[name] for row in steps] for name in steps[0]})
    probing = [
        {"arm": "array", "group": group, "step": step, "probed": probed, "calls": 3 * probed,
         "scope_ns": int(rng.normal(99_000, 300)) + 1500 * probed}
        for group in range(GROUPS)
        for step in range(STEPS)
        for probed in (True, False)
    ]  # fmt: skip
    folder.write_probing({name: [row[name] for row in probing] for name in probing[0]})
    timed = [
        {"arm": arm, "pass": index, "step": step, "device_gap_ns": 5, "device_scope_ns": 900, "device_step_ns": 3000}
        for arm in ("list", "array")
        for index in range(2)
        for step in range(STEPS)
    ]
    folder.write_device({name: [row[name] for row in timed] for name in timed[0]})
    left = [
        {"step": step, "counted": counted, "name": name, "calls": 1, "objects": 3 - step}
        for counted in ("blocks", "tracked")
        for name in PROBES
        for step in range(STEPS)
    ]
    folder.write_memory({name: [row[name] for row in left] for name in left[0]})
    shown = [
        {
            "group": group, "pass": group * 4 + place, "step": step, "name": name,
            "turn_ns": 10**7 + 10**6 * bool(name), "planted_ns": 10**6 * bool(name),
        }
        for group in range(GROUPS)
        for place in range(4)
        for step in range(STEPS - 1)
        for name in (("", *PROBES)[(place + step) % (1 + len(PROBES))],)
    ]  # fmt: skip
    folder.write_exposed({name: [row[name] for row in shown] for name in shown[0]})
    lines = [{"name": PROBES[1], "line": 7 + n, "hits": n, "ns": 50.5 * n, "text": f"    line({n})"} for n in range(3)]
    folder.write_lines({name: [row[name] for row in lines] for name in lines[0]})
    for arm in ("list", "array"):
        text = "step (v.py:1);_prepare_inputs (v.py:2);slots (p.py:3) 60\nstep (v.py:1);_prepare_inputs (v.py:2) 40\n"
        folder.write_text(f"flamegraphs/{arm}.folded", text)
    return path


def _a_pass(rng: np.random.Generator, number: int, group: int, treated: list[tuple[str, bool]]) -> dict[str, list[Any]]:
    rows: list[dict[str, Any]] = []
    begin = 0
    for step, (arm, probed) in enumerate(treated):
        slots = int(rng.normal(40_000, 300)) + 5000 * arm.endswith("5 us") - 8000 * (arm == "array")
        execute = 400_000 + slots + 3000 * probed
        row = {
            "arm": arm, "probed": probed, "num_reqs": 3, "num_tokens": 3, "num_prefills": 0, "begin_ns": begin,
            "execute_ns": execute, "sample_ns": 20_000, "cpu_ns": execute, "gc_collections": 0,
            "page_faults": int(rng.integers(3)), "involuntary_switches": 0, "step": step, "pass": number,
            "group": group, "scope.cpu_ns": 100_000 + slots if probed else None,
        }  # fmt: skip
        for probe, calls, total, own in (
            ("scope", 1, 100_000 + slots, 90_000), ("torch.cat", 2, 3000, 3000),
            ("compute_slot_mapping", 1, slots, slots - 3000),
        ):  # fmt: skip
            for part, value in (("calls", calls), ("total_ns", total), ("self_ns", own), ("nested_calls", 1)):
                row[f"{probe}.{part}"] = value if probed else None
        rows.append(row)
        begin += execute + 40_000
    return {name: [row[name] for row in rows] for name in rows[0]}


def make_launches_folder(path: Path) -> Path:
    """A run of three launches."""
    folder = RunFolder(path)
    for number in (1, 2, 3):
        make_run_folder(folder.launch(number), seed=number)
    run = json.loads((folder.launch(1) / "run.json").read_text())
    for key in ("schema", "flamegraphs", "plan"):
        del run[key]
    folder.write_run({**run, "launches": [{"number": number} for number in (1, 2, 3)]})
    return path


def make_micro_folder(path: Path) -> Path:
    """Micro-benchmarks: a sweep, and one that is none."""
    folder = RunFolder(path, passes=False)
    run = make_run()
    facts = {key: run[key] for key in ("machine", "versions", "command", "config_file")}
    folder.write_run(
        {"kind": "micro", "status": "complete", "title": "A title", "again": "again", "message": "", **facts}
    )

    def row(label: str, size: int | None, *columns: str) -> dict[str, Any]:
        timings = {name: {"rounds_s": [1e-3 * (1 + i), 2e-3], "calls": 9} for i, name in enumerate(columns)}
        return {"label": label, "size": size, "timings": timings, "unequal": {columns[-1]: "other"}, "note": "a note"}

    sizes = [row(f"{size:,}", size, "list", "array") for size in (10, 100, 1000)]
    about = {"device": "cpu", "has_gpu": False, "planned": 4}
    benchmarks = [
        {"benchmark": "incremental", "title": "One", **about, "rows": sizes},
        {"benchmark": "operations", "title": "Two", **about, "rows": [row("append", None, "list", "array")]},
    ]
    folder.write_text("micro.json", json.dumps({"schema": 1, "benchmarks": benchmarks}))
    return path


def change_json(draw: Any, file: Path) -> None:
    """Change one value, key or item of a JSON file, or take it out."""
    content = json.loads(file.read_text())
    holder, key = draw(st.sampled_from(list(_places(content))))
    way = draw(st.sampled_from(["replace", "replace", "take out", "rename", "wrap", "add", "repeat"]))
    if way == "replace":
        holder[key] = draw(VALUES)
    elif way == "wrap":
        holder[key] = draw(st.sampled_from([[holder[key]], {"x": holder[key]}, str(holder[key])]))
    elif way == "take out":
        del holder[key]
    elif isinstance(holder, dict):
        name = draw(st.sampled_from(HOSTILE))
        holder[name] = holder.pop(key) if way == "rename" else draw(VALUES)
    else:
        holder.extend([holder[key]] * (1 if way == "repeat" else 3))
    file.write_text(json.dumps(content))


def _places(content: Any) -> Any:
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield content, key
        if not (isinstance(content, list) and key > 3):
            yield from _places(value)


def change_table(draw: Any, file: Path) -> None:
    """Change a parquet file's shape, types or values."""
    table = pq.read_table(file)
    name = draw(st.sampled_from(table.column_names))
    at = table.column_names.index(name)
    way = draw(
        st.sampled_from(
            ["drop", "rename", "zero", "gaps", "type", "value", "rows", "twice", "empty", "nested", "clear"]
        )
    )
    if way == "drop":
        table = table.drop_columns([name])
    elif way == "rename":
        table = table.rename_columns([draw(st.sampled_from([*HOSTILE[:5], "arm", "step"])) if each == name else each
                                      for each in table.column_names])  # fmt: skip
    elif way in ("zero", "clear"):
        names = [each for each in table.column_names if each.endswith("_ns")] if way == "clear" else [name]
        for each in names:
            of = table.schema.field(each).type
            table = table.set_column(
                table.column_names.index(each), each, pa.array(["" if each == "arm" else 0] * len(table)).cast(of)
            )
    elif way == "gaps":
        kept = draw(st.lists(st.booleans(), min_size=len(table), max_size=len(table)))
        values = [value if keep else None for value, keep in zip(table[name].to_pylist(), kept, strict=True)]
        table = table.set_column(at, name, pa.array(values, type=table.schema.field(name).type))
    elif way in ("type", "nested"):
        values = [[each] if way == "nested" else str(each) for each in table[name].to_pylist()]
        table = table.set_column(at, name, pa.array(values))
    elif way == "value" and name != "arm":
        value = draw(
            st.one_of(st.sampled_from([-1, 0, 1, 7, 2**40, 2**62, -(2**62), 0.5]), st.floats(), st.integers(0, 9))
        )
        values = table[name].to_pylist()
        for place in draw(st.lists(st.integers(0, len(values) - 1), min_size=1, max_size=9)) if values else ():
            values[place] = value
        table = table.set_column(at, name, pa.array([None if v is None else float(v) for v in values]))
    elif way == "value":
        values = table[name].to_pylist()
        values[: len(values) // 2] = [draw(st.sampled_from([*HOSTILE[:5], "array", "list"]))] * (len(values) // 2)
        table = table.set_column(at, name, pa.array(values))
    elif way == "rows":
        table = (
            table.take(draw(st.lists(st.integers(0, max(len(table) - 1, 0)), max_size=len(table))))
            if len(table)
            else table
        )
    elif way == "twice":
        table = pa.concat_tables([table, table])
    elif way == "empty":
        table = table.slice(0, 0)
    pq.write_table(table, file)


def change_file(draw: Any, file: Path, outside: Path) -> None:
    """Tear a file, put something else in its place, or take it away."""
    content = file.read_bytes()
    way = draw(st.sampled_from(["tear", "garbage", "nothing", "gone", "folder", "link", "deep"]))
    file.unlink()
    if way == "tear":
        file.write_bytes(content[: draw(st.integers(0, len(content)))])
    elif way == "garbage":
        file.write_bytes(draw(st.binary(max_size=64)))
    elif way == "nothing":
        file.write_bytes(b"")
    elif way == "folder":
        file.mkdir()
    elif way == "link":
        file.symlink_to(outside)
    elif way == "deep":
        file.write_text(
            "[" * 5000 + "]" * 5000
            if file.suffix == ".json"
            else ";".join(f"f{i} (a.py:1)" for i in range(3000)) + " 3\n"
        )


def copy(folder: Path, to: Path) -> Path:
    """A copy to be changed."""
    return Path(shutil.copytree(folder, to))
