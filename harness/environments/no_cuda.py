"""Stand-ins for CUDA's libraries, beside which a general build of torch computes on the CPU.

The package registry has CPU builds of few releases of torch, and vLLM's compiled functions load beside one release of
torch alone. The general build of that release has the same CPU code, but it is linked against gigabytes of CUDA's
libraries, none of which is called where there is no device. Here each is a library of a few kilobytes that has the
names that torch asks for, and whose functions say that there is no device.
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Final

from harness.errors import SetupError, in_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["put_stand_ins", "source_of"]

LIBRARY: Final = "libno_cuda.so"
OF_CUDA: Final = re.compile(r"lib(?:cu|nv|nccl)[\w.]*\.so")
NEEDED: Final = re.compile(r"\(NEEDED\).*\[([^]]+)\]")
FUNCTION: Final = re.compile(r"_{0,2}(?:cu|nccl|nv)[A-Za-z]\w*")
TELLS_TEXT: Final = re.compile(r"(?:Error|Status)_?(?:String|Name)$|(?:nccl|nvshmem)\w*LastError$")
NO_DEVICE: Final = 100
"""cudaErrorNoDevice; no other library's code for success either."""


def put_stand_ins(libraries: Path) -> None:
    """Put them beside torch's own libraries, where those look for CUDA's; what is there already stays.

    Args:
        libraries: torch's folder `lib`.

    Raises:
        SetupError: there is no compiler, or no nm and readelf, which come with it; or what they say is not understood.
        OSError: the folder cannot be written.
    """
    own = sorted(each for each in libraries.glob("*.so*") if not each.is_symlink() and each.name != LIBRARY)
    needed = {name for each in own for name in NEEDED.findall(_output("readelf", "-dW", each)) if OF_CUDA.match(name)}
    if not (missing := sorted(name for name in needed if not (libraries / name).exists())):
        return
    source, versions = source_of(_output("nm", "-D", each) for each in own)
    code, script = libraries / "no_cuda.c", libraries / "no_cuda.map"
    code.write_text(source, encoding="utf-8")
    script.write_text(versions, encoding="utf-8")
    # Not built in: the compiler knows none of these functions, whatever it takes their names for.
    flags = ["-shared", "-fPIC", "-w", "-fno-builtin", f"-Wl,--version-script={script}"]
    _output("cc", *flags, "-o", libraries / LIBRARY, code)
    for name in missing:
        (libraries / name).symlink_to(LIBRARY)


def source_of(tables: Iterable[str]) -> tuple[str, str]:
    """C code with every function of CUDA's that is asked for and not there, and the linker's script of their versions.

    Args:
        tables: what `nm -D` says of each library.
    """
    defined, asked = set[str](), dict[str, str]()
    for line in (line for table in tables for line in table.splitlines()):
        kind, full = line.split()[-2:]
        name, _, version = full.partition("@")
        if kind in "Uvw":
            # The loader holds a version that is asked for to be the library's name, or a word of its own.
            asked[name] = asked.get(name) or version.lstrip("@")
        else:
            defined.add(name)
    names = {name: asked[name] for name in sorted(asked) if name not in defined and FUNCTION.fullmatch(name)}
    lines = ['static const char text[] = "there is no CUDA here";', "static long handle[64];"]
    return "\n".join([*lines, *map(_function, names), ""]), _script(names)


def _function(name: str) -> str:
    if name == "cudaGetDeviceCount":
        return f"long {name}(int *count) {{ *count = 0; return {NO_DEVICE}; }}"
    if name == "__cudaRegisterFatBinary":  # called when torch is loaded, as are the others with two underscores
        return f"void *{name}(void) {{ return handle; }}"
    if TELLS_TEXT.search(name) and not name.startswith("cudaGetLast"):
        return f"const char *{name}(void) {{ return text; }}"
    fine = name.startswith("__cuda") or name in ("cudaGetLastError", "cudaPeekAtLastError")
    return f"long {name}(void) {{ return {0 if fine else NO_DEVICE}; }}"


def _script(names: Mapping[str, str]) -> str:
    by_version: dict[str, list[str]] = {}
    for name, version in names.items():
        if version:
            by_version.setdefault(version, []).append(name)
    return "".join(f"{version} {{ global: {'; '.join(of_it)}; }};\n" for version, of_it in by_version.items())


def _output(*command: str | Path) -> str:
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)  # noqa: S603 (the compiler's own programs)
    except FileNotFoundError:
        raise SetupError(f"there is no {command[0]} here, which comes with a C compiler") from None
    except subprocess.CalledProcessError as error:
        raise SetupError(f"{command[0]}: {in_line(error.stderr.strip())}") from error
    return done.stdout
