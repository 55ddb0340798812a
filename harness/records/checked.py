"""JSON of a run's folder, which may be anybody's: read in bounds, cleaned, and checked against its schema."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from harness.errors import RecordsError
from harness.texts import one_line, tidy

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

__all__ = ["check", "cut_reason", "read_json", "read_text"]

LARGEST: Final = 64 * 2**20
"""Bytes of a text file, at most; run.json has three numbers for each step of a pass."""
DEEPEST: Final = 64
"""How deep JSON may be nested; a config's values may be some 40 levels deep (`config.source`)."""
REASON: Final = 200
"""Characters of a reason, at most."""


def read_text(file: Path) -> str:
    """A text file of ordinary size.

    Raises:
        OSError: it is not there, no file, or far too large.
        ValueError: it is no UTF-8.
    """
    found = file.stat()
    if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for ever
        raise OSError("it is no file")
    if found.st_size > LARGEST:
        raise OSError(f"it has {found.st_size:,} bytes, and {LARGEST:,} are the most")
    return file.read_text(encoding="utf-8")


def read_json(file: Path) -> Any:
    """What a JSON file holds, every text in it made one line (`texts.tidy`).

    Raises:
        FileNotFoundError: it is not there.
        RecordsError: it cannot be read, or is nested too deeply.
    """
    try:
        content = json.loads(read_text(file))
    except FileNotFoundError:
        raise
    except RecursionError:
        raise RecordsError(f"{file}: it is nested too deeply") from None
    except (OSError, ValueError) as error:
        raise RecordsError(f"{file}: cannot be read: {cut_reason(error)}") from error
    if _deeper(content, DEEPEST):
        raise RecordsError(f"{file}: it is nested too deeply")
    return tidy(content)


def check(file: Path, content: Any, schema: type[BaseModel]) -> None:
    """Check what was read from a file.

    Raises:
        RecordsError: with the file, the first key that is wrong, and what is wrong with it.
    """
    try:
        schema.model_validate(content)
    except ValidationError as error:
        details = error.errors(include_url=False)
        more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
        raise RecordsError(f"{file}: {_told(details[0])}{more}") from None


def cut_reason(error: Exception) -> str:
    """Why something cannot be read, in one short line."""
    said = getattr(error, "strerror", None) or str(error)
    return one_line(" ".join(said[: 10 * REASON].split()), REASON) or type(error).__name__


def _told(detail: ErrorDetails) -> str:
    location = [str(part) for part in detail["loc"]]
    message = detail["msg"].removeprefix("Value error, ")
    head, colon, rest = message.partition(": ")
    if detail["type"] == "value_error" and colon and head.replace(".", "").isidentifier():  # it names its own key
        location, message = [*location, head], rest
    elif detail["type"] == "missing":
        message = "is missing"
    elif detail["type"] != "value_error":
        given = detail["input"]
        shown = "" if isinstance(given, dict | list) else f", not {one_line(repr(given), 60)}"
        message = f"{message[0].lower()}{message[1:]}{shown}"
    key = one_line(".".join(location), REASON)
    return one_line(f"{key}: {message}" if key else message, 3 * REASON)


def _deeper(value: Any, levels: int) -> bool:
    """Whether plain data is nested deeper than so many levels."""
    if not isinstance(value, dict | list):
        return False
    if levels == 0:
        return True
    return any(_deeper(item, levels - 1) for item in (value.values() if isinstance(value, dict) else value))
