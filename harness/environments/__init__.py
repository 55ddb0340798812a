"""Environments: other versions of vLLM, each in an environment of its own, made when it is asked for and kept.

Takes a requirement, such as `vllm==0.31.0`; gives the Python of an environment that has it, and this harness beside it.
May import `records` and what is below it. Nothing heavy: what a config asks for is judged here before anything is made.
"""

from __future__ import annotations

from harness.environments.made import Environment
from harness.environments.making import environment_for, made_before
from harness.environments.recipe import Recipe, recipe_for
from harness.environments.store import find, known, remove

__all__ = ["Environment", "Recipe", "environment_for", "find", "known", "made_before", "recipe_for", "remove"]
