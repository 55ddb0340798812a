"""The seam `decode_seq_lens` on vLLM 0.5.4: the lengths of a step's decodes, of which only the largest is needed.

`FlashAttentionMetadataBuilder.__init__` makes a list (`curr_seq_lens`), `_add_seq_group` appends a length for each
decode, and `build` takes `max(list, default=0)`. The thread remarks that a running maximum would do. Whatever an arm
makes in the list's place is appended to and then given to `max`, so it has `append` and can be iterated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from harness.errors import SeamError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["DecodeSeqLensArm", "Lengths", "Site", "check_arm", "check_signature", "sites"]


class Lengths(Protocol):
    """What takes the lengths."""

    def append(self, length: int, /) -> None:
        """One decode's length."""
        ...

    def __iter__(self) -> Iterator[int]:
        """Lengths, among them the largest; none where there was no decode."""
        ...


class DecodeSeqLensArm(Protocol):
    """The contract: `lengths()` gives a new, empty `Lengths` for a step."""

    def lengths(self) -> Lengths:
        """Empty, for one step."""
        ...


def check_arm(arm: Any) -> None:
    """Check that an arm has what the contract names.

    Raises:
        SeamError: it does not.
    """
    made = arm.lengths() if callable(getattr(arm, "lengths", None)) else None
    if not hasattr(made, "append") or not hasattr(made, "__iter__"):
        raise SeamError(
            f"arm {type(arm).__name__}: an arm at decode_seq_lens has a method `lengths`, which gives something with "
            "`append` that can be iterated"
        )


def check_signature(function: Callable[..., Any]) -> tuple[str, ...]:
    """The parameters of the builder's `__init__`, if they are those of 0.5.4.

    Raises:
        SeamError: they are not.
    """
    import inspect

    found = tuple(inspect.signature(function).parameters)
    if found != ("self", "input_builder"):
        raise SeamError(f"seam decode_seq_lens: this builder is made with ({', '.join(found)}), not as in vLLM 0.5.4")
    return found


class Site:
    """Where the builder's list of lengths is made: a function of this object, so that no class changes in a pass."""

    attribute = "lengths"
    function = None  # what is swapped is this object's own

    def __init__(self, builder: Any) -> None:
        self.owner = self
        self.native: Callable[[], Lengths] = list
        self.lengths = self.native
        self._builder = builder
        check_signature(builder.__init__)

    def watches(self) -> Iterator[tuple[Any, str, Callable[[Any], Any]]]:
        """Where a builder is made."""
        yield self._builder, "__init__", self._with_lengths

    def implement(
        self, arm: DecodeSeqLensArm, on_error: Callable[[BaseException], None], strict: bool = False
    ) -> Callable[[], Lengths]:
        """A function that makes an arm's lengths; where the arm raises, it makes a list and calls `on_error`."""
        check_arm(arm)

        def lengths() -> Lengths:
            try:
                return arm.lengths()
            except BaseException as error:  # noqa: BLE001 (`on_error` lets signals pass)
                on_error(error)
                return []

        return lengths

    def _with_lengths(self, initialise: Callable[..., None]) -> Callable[..., None]:
        def __init__(builder: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 (it stands in the place of one)
            initialise(builder, *args, **kwargs)
            builder.curr_seq_lens = self.lengths()

        return __init__


def sites(runner: Any) -> list[Site]:
    """The one place: the builder of the runner's attention backend.

    Raises:
        SeamError: another backend than FlashAttention.
    """
    if runner.attn_backend.get_name() != "flash-attn":
        raise SeamError(f"seam decode_seq_lens: it knows the backend flash-attn, not {runner.attn_backend.get_name()}")
    return [Site(runner.attn_backend.get_builder_cls())]
