"""`harness env add|list|remove`, by a uv that installs nothing."""

from __future__ import annotations

import json

import pytest

from harness.cli import main
from harness.environments import environment_for, known, recipe_for
from harness.environments.store import locked


@pytest.fixture
def command(uv, capsys):
    """Runs `harness env ...`, and gives exit status, standard output and standard error."""

    def run(*args: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["env", *args])
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, said.out, said.err

    return run


def test_add_makes_what_is_not_there(command) -> None:
    status, said, notes = command("add", "vllm==0.31.0", "0.30.0", "--build", "cpu")
    assert status == 0
    assert [each.requirement for each in known()] == ["vllm==0.30.0", "vllm==0.31.0"]
    assert all(str(each.python) in said and each.hash in said for each in known())
    assert notes.count("making an environment") == 2
    assert command("add", "vllm==0.31.0", "--build", "cpu")[2] == ""


def test_a_misspelt_one_is_refused_before_another_is_made(command, uv) -> None:
    status, _, said = command("add", "vllm==0.31.0", "torch==2.13.0")
    assert (status, uv.calls()) == (2, [])
    assert "'torch==2.13.0' is another package" in said


def test_a_failure_ends_with_its_own_status(command, uv) -> None:
    uv.fails_with("error: no space left")
    status, _, said = command("add", "0.31.0", "--build", "cpu")
    assert status == 1
    assert "harness: vllm==0.31.0 cannot be set up: no space left" in said


def test_list_shows_what_is_there_and_what_is_not_whole(command, cache) -> None:
    assert f"no environments in {cache}" in command("list")[1]
    made = environment_for("0.31.0", build="cpu")
    (cache / "0123456789ab").mkdir()
    status, said, _ = command("list")
    assert status == 0
    assert all(text in said for text in (made.hash, "vllm==0.31.0", "2.13.0+cpu", "0123456789ab is not whole"))
    assert command("remove", "0123456789ab")[:2] == (0, "removed 0123456789ab\n")
    assert "not whole" not in command("list")[1]


def test_list_fits_a_terminal(command, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    made = environment_for("0.31.0", build="cpu")
    heading, row = command("list")[1].splitlines()
    assert heading.split() == ["hash", "vLLM", "build", "torch", "Python", "made", "GB"]
    assert row.split()[:-1] == [made.hash, "vllm==0.31.0", "cpu", made.torch, made.recipe.python, made.made[:10]]
    assert float(row.split()[-1]) > 0


def test_list_makes_nothing_of_what_a_file_says(command) -> None:
    made = environment_for("0.31.0", build="cpu")
    file = made.folder / "environment.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "torch": "[red]2\x1b[31m"}))
    said = command("list")[1]
    assert "\x1b" not in said
    assert "[red]" in said


def test_remove_takes_a_release_or_the_beginning_of_a_hash(command, cache) -> None:
    for name in ("vllm==0.31.0", "0.31.0", recipe_for("0.31.0", "cpu").hash[:6]):
        environment_for("0.31.0", build="cpu")
        assert command("remove", name)[0] == 0
        assert {path.name for path in cache.iterdir()} == {".locks"}


@pytest.mark.parametrize(
    ("name", "why"),
    [("vllm==0.29.0", "there is no environment 'vllm==0.29.0'"), ("ffff", "there is no environment 'ffff'"),
     ("../x", "is no release of vLLM"), ("vllm==0.31.0", "names several environments: take one of ")],
)  # fmt: skip
def test_remove_takes_nothing_that_is_not_clear(command, uv, name, why) -> None:
    for build in ("cpu", "cuda"):
        environment_for("0.31.0", build=build)
    status, _, said = command("remove", name)
    assert (status, len(known())) == (2, 2)
    assert why in said


def test_what_is_being_made_is_not_removed(command) -> None:
    made = environment_for("0.31.0", build="cpu")
    with locked(made.hash):
        status, _, said = command("remove", made.hash)
    assert (status, len(known())) == (2, 1)
    assert "is being made or removed by another process" in said
