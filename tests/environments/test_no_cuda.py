"""Stand-ins for CUDA's libraries: a library that was linked against them loads, and is told that there is no device."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness.environments.no_cuda import put_stand_ins, source_of
from harness.errors import SetupError

OF_TORCH = """
extern int cudaGetDeviceCount(int *); extern const char *cudaGetErrorString(int); extern int cudaGetLastError(void);
extern void *__cudaRegisterFatBinary(void *); extern int cudaMalloc(void **, long); extern int ncclCommInitAll(void);
static void *registered;
__attribute__((constructor)) static void load(void) { registered = __cudaRegisterFatBinary(0); }
int own(void) { return 7; }
int (*const held)(void **, long) = cudaMalloc;   /* an address, which the loader asks for at once */
int devices(void) { int n = -1; int status = cudaGetDeviceCount(&n); return 1000 * n + status; }
int ready(void) { return registered && cudaGetErrorString(100)[0] && !cudaGetLastError() && ncclCommInitAll(); }
"""
OF_CUDA = """
int cudaGetDeviceCount(int *n) { return 0; } const char *cudaGetErrorString(int e) { return ""; }
int cudaGetLastError(void) { return 0; } void *__cudaRegisterFatBinary(void *p) { return p; }
int cudaMalloc(void **p, long n) { return 0; }
"""


@pytest.fixture
def libraries(tmp_path):
    """A library that needs two of CUDA's, one of them by a version, which are gone."""
    folder = tmp_path / "lib"
    folder.mkdir()

    def build(name: str, source: str, *more: str) -> None:
        (tmp_path / "code.c").write_text(source)
        subprocess.run(["cc", "-shared", "-fPIC", "-w", "-o", folder / name, tmp_path / "code.c", *more], check=True)

    (tmp_path / "map").write_text("libcudart.so.13 { global: *; };\n")
    build("libcudart.so.13", OF_CUDA, "-Wl,-soname=libcudart.so.13", f"-Wl,--version-script={tmp_path / 'map'}")
    build("libnccl.so.2", "int ncclCommInitAll(void) { return 0; }", "-Wl,-soname=libnccl.so.2")
    build(
        "libtorch_like.so", OF_TORCH, f"-L{folder}", "-l:libcudart.so.13", "-l:libnccl.so.2", "-Wl,--no-as-needed",
        "-Wl,-rpath,$ORIGIN", "-Wl,--disable-new-dtags",
    )  # fmt: skip
    for name in ("libcudart.so.13", "libnccl.so.2"):
        (folder / name).unlink()
    return folder


def loads(libraries) -> subprocess.CompletedProcess[str]:
    """What a process that loads it says: another one, since a library stays loaded."""
    path = str(libraries / "libtorch_like.so")
    program = f"import ctypes; x = ctypes.CDLL({path!r}); print(x.own(), x.devices(), x.ready())"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_a_library_that_needs_cuda_loads_beside_them_and_finds_no_device(libraries) -> None:
    assert "cannot open shared object file" in loads(libraries).stderr
    put_stand_ins(libraries)
    assert loads(libraries).stdout == "7 100 1\n"
    before = {path.name: path.lstat().st_mtime_ns for path in libraries.iterdir()}
    put_stand_ins(libraries)
    assert {path.name: path.lstat().st_mtime_ns for path in libraries.iterdir()} == before


def test_only_functions_of_cuda_that_are_nowhere_are_made() -> None:
    source, versions = source_of([
        "                 U cudaMalloc@libcudart.so.13\n                 U malloc@GLIBC_2.2.5\n"
        "                 U cublasGetStatusString@libcublas.so.13\n                 U ncclSend\n"
        "0000000000001234 T cudaMine\n                 w __cxa_finalize\n                 U _ZN2at4cudaEv\n",
        "                 U cudaMine\n                 U cudaMalloc\n",
    ])  # fmt: skip
    assert "long cudaMalloc(void) { return 100; }" in source
    assert "const char *cublasGetStatusString(void)" in source
    assert "long ncclSend(void)" in source
    assert not any(name in source for name in ("malloc(", "cudaMine", "__cxa", "_ZN"))
    assert versions.splitlines() == [
        "libcublas.so.13 { global: cublasGetStatusString; };", "libcudart.so.13 { global: cudaMalloc; };",
    ]  # fmt: skip


def test_without_a_compiler_it_is_said(libraries, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(SetupError, match="there is no readelf here, which comes with a C compiler"):
        put_stand_ins(libraries)
