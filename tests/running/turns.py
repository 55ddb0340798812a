"""Stands in the place of a launch whose engine takes turns: `python -m tests.running.turns NAME GROUPS LOG [END]`.

Each pass it writes down when it begins and ends. END is `dies` (in its second turn), `killed` (likewise), `raves` (says
what nobody asked for, at once), `mumbles` (likewise, in its second turn), `nothing` (has nothing to measure), `forks`
(dies, and leaves a process that has its pipes).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from harness.errors import HostError
from harness.running.baton import Baton

PASSES = 2
"""Passes of a group."""

if __name__ == "__main__":
    name, groups, log, end = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), (*sys.argv[4:], "")[0]

    def say(word: str) -> None:
        with log.open("a") as file:
            file.write(f"{name} {word}\n")

    descriptors = os.environ["HARNESS_BATON"]
    baton = Baton.inherited()
    assert baton is not None
    assert "HARNESS_BATON" not in os.environ
    say("stands")
    if end == "nothing":
        sys.exit(0)
    if end == "raves":
        os.write(int(descriptors.partition(",")[2]), b"hello\n")
        time.sleep(3600)
    try:
        baton.stands()
        say("checks")
        say("checked")
        agreed, steps = baton.ready(groups, float(groups))
        for number in range(agreed * PASSES):
            if number:
                steps = baton.hand_on()
            if number == 1 and end == "forks" and os.fork() == 0:
                while os.read(int(descriptors.partition(",")[0]), 100):
                    pass
                os._exit(0)  # who hands out turns has closed the pipes
            if number == 1 and end in ("dies", "forks"):
                sys.exit(3)
            if number == 1 and end == "mumbles":
                os.write(int(descriptors.partition(",")[2]), b"hm\n")
                time.sleep(3600)
            if number == 1 and end == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            say(f"begins {steps}")
            time.sleep(0.001)
            say("ends")
        baton.rest()
    except HostError:
        sys.exit(4)
    except KeyboardInterrupt:
        sys.exit(130)
    say("rests")
