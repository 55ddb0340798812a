"""The checking pass where a seam has no buffer of its own: all that the scope gives back is compared, arm by arm.

At every step the scope runs once under the host's own implementation and once under each arm, on the same inputs; every
tensor and number in what comes back must be the same, types included.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import torch

from harness.instrument.arms import Faults
from harness.instrument.checking import Mismatch, run_arm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["OutputChecker", "leaves"]

PLAIN: Final = (torch.Tensor, int, float, str, bool, type(None))
DEPTH: Final = 6
"""How deep results are looked into: a model's input holds metadata, which hold lists."""
HOST_PACKAGE: Final = "vllm"


class OutputChecker:
    """Runs the scope under every arm, and keeps each arm's first mismatch.

    Args:
        sites: the seam's sites.
        arms: the implementations by name; None stands for the host's own, which all others are compared with.
        faults: takes what an arm's code raises while its functions are made.
        limit: is told of every call of the scope under an arm.
    """

    def __init__(
        self,
        sites: Sequence[Any],
        arms: Mapping[str, Any],
        faults: Faults | None = None,
        limit: Callable[[str], None] = lambda arm: None,
    ) -> None:
        self._sites, self._limit = sites, limit
        faults = faults or Faults()
        made = {
            name: faults.of(name, lambda arm=arm: [site.implement(arm, _reraise, strict=True) for site in sites])  # type: ignore[misc]
            for name, arm in arms.items()
            if arm is not None
        }
        self._calls = {name: calls for name, calls in made.items() if calls is not None}
        self._step = 0
        self._mismatches: dict[str, Mismatch] = {}
        self._seam_calls: list[int] = []

    def bind(self, step: int) -> None:
        """What follows belongs to this step."""
        self._step = step
        self._seam_calls.append(0)

    def around(self, scope: Callable[..., Any]) -> Callable[..., Any]:
        """The scope's function, which compares all arms and returns what the host's own implementation made."""

        def compared(*args: Any, **kwargs: Any) -> Any:
            self._put([self._counted(site.native) for site in self._sites])
            native = scope(*args, **kwargs)
            expected = dict(leaves(native))
            for name, calls in self._calls.items():
                if name in self._mismatches:
                    continue
                self._put(calls)
                self._limit(name)
                found, wrong = run_arm(lambda: dict(leaves(scope(*args, **kwargs))))
                if wrong:
                    self._note(name, None, None, None, wrong)
                    continue
                self._note_difference(name, expected, found)
            self._put([site.native for site in self._sites])
            return native

        return compared

    def take_mismatches(self) -> list[dict[str, Any]]:
        """Give the first mismatch of each arm that has one, and forget them."""
        taken, self._mismatches = self._mismatches, {}
        return [dataclasses.asdict(mismatch) for mismatch in taken.values()]

    def take_calls(self) -> list[int]:
        """Give how often the seam was called in each checked step, and forget it."""
        taken, self._seam_calls = self._seam_calls, []
        return taken

    def _put(self, calls: Sequence[Callable[..., Any]]) -> None:
        for site, call in zip(self._sites, calls, strict=True):
            setattr(site.owner, site.attribute, call)

    def _counted(self, native: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self._seam_calls[-1] += 1
            return native(*args, **kwargs)

        return counted

    def _note_difference(self, name: str, expected: dict[str, Any], found: dict[str, Any]) -> None:
        for path in [*expected, *(path for path in found if path not in expected)]:
            want, got = expected.get(path), found.get(path)
            if not isinstance(want, torch.Tensor) or not isinstance(got, torch.Tensor):
                if want != got or type(want) is not type(got):
                    self._note(name, None, None, None, f"{path}: expected {want!r}, found {got!r}")
                    return
            elif (want.dtype, want.shape) != (got.dtype, got.shape):
                self._note(name, None, None, None, f"{path}: expected {_form(want)}, found {_form(got)}")
                return
            elif len(different := (want != got).reshape(-1).nonzero()):
                position = int(different[0])
                one, other = want.reshape(-1)[position].item(), got.reshape(-1)[position].item()
                told = f"{path}: expected {one}, found {other} ({len(different)} differ)"
                self._note(name, position, int(one), int(other), told)
                return

    def _note(self, name: str, position: int | None, want: int | None, got: int | None, reason: str) -> None:
        self._mismatches[name] = Mismatch(name, self._step, 0, position, want, got, reason)


def leaves(result: Any, path: str = "", depth: int = DEPTH) -> Iterator[tuple[str, Any]]:
    """Tensors and plain values in a result, each with its path; what is in cycles or deep inside is left out."""
    if isinstance(result, PLAIN):
        yield path or "result", result
    elif depth:
        for name, part in _parts(result):
            yield from leaves(part, f"{path}.{name}" if path else name, depth - 1)


def _parts(result: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(result, dict):
        yield from ((str(key), value) for key, value in result.items())
    elif isinstance(result, list | tuple):
        yield "len", len(result)
        yield from ((str(index), value) for index, value in enumerate(result))
    elif dataclasses.is_dataclass(result):
        yield from ((field.name, getattr(result, field.name, None)) for field in dataclasses.fields(result))
    elif type(result).__module__.partition(".")[0] == HOST_PACKAGE and hasattr(result, "__dict__"):
        yield from vars(result).items()


def _form(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _reraise(error: BaseException) -> None:
    raise error
