"""The base of all sections of a config."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Strict"]


class Strict(BaseModel):
    """Immutable, and refuses keys that it does not know.

    Built when the first config is validated: a report imports this, and validates none of it but the host.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False, defer_build=True)
