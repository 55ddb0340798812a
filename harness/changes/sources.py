"""What a change is made of: the changed files of a package, from a patch or from another source tree.

The files are copied and changed in a folder of their own. What is installed is never written.
"""

from __future__ import annotations

import email
import email.header
import hashlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from harness import paths
from harness.changes import git
from harness.errors import ConfigError, in_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["SourceFile", "Sources", "files_in", "from_patch", "from_tree", "module_name", "text_of"]

BUILT: Final = frozenset(
    (".cu", ".cuh", ".cpp", ".cc", ".cxx", ".c", ".h", ".hpp", ".hip", ".inl", ".rs", ".cmake", ".pyx")
)
"""Ends of names of what a compiler makes into a library."""
GENERATED: Final = "_version.py"
"""Written by the build: it differs between any two trees."""
_OLD_NAME: Final = re.compile(rb"^(?:rename|copy) from (.+?)\r?$", re.MULTILINE)
_NAMES: Final = re.compile(rb"^--- ([^\t\r\n]+).*\n\+\+\+ ([^\t\r\n]+).*\n@@ ", re.MULTILINE)


@dataclass(frozen=True)
class SourceFile:
    """A Python file of the package that a change touches.

    Attributes:
        relative: its path below the folder that holds the package.
        module: its module's name.
        changed: the changed text's file; None where the change deletes it.
        new: whether the package does not have it yet.
    """

    relative: str
    module: str
    changed: Path | None
    new: bool = False


@dataclass(frozen=True)
class Sources:
    """A change's files.

    Attributes:
        files: the package's Python files that it changes.
        left_out: what it touches as well: tests, documents, C++ and all else that is no Python file of the package.
        sha256: the beginning of the digest of the patch, or of the tree's changed files.
        title: the subject, where the patch is a mail.
        base: how it fitted what is installed: "exact", "at other lines", "with less context", or "a whole tree".
    """

    files: tuple[SourceFile, ...]
    left_out: tuple[str, ...]
    sha256: str
    title: str
    base: str

    @property
    def needs_build(self) -> tuple[str, ...]:
        """Those of `left_out` that only a build brings in: C++, CUDA, and what steers their compiler."""
        return tuple(
            path
            for path in self.left_out
            if PurePosixPath(path).suffix in BUILT or PurePosixPath(path).name == "CMakeLists.txt"
        )


def from_patch(patch: Path, root: Path, into: Path, *, revert: bool = False, package: str = "vllm") -> Sources:
    """The package's files with a patch in them.

    Args:
        patch: a diff, with or without a mail's header.
        root: the folder that holds the installed package.
        into: a folder for the changed files.
        revert: take the patch out of what is installed.
        package: the package's name.

    Raises:
        ConfigError: there is no git, it is no patch, it has paths that lead elsewhere, it does not apply, or it changes
            no Python file of the package.
    """
    if why := paths.why_no_file(patch):
        raise ConfigError(f"patch {why}")
    data, patch = patch.read_bytes(), patch.resolve()
    into.mkdir(parents=True, exist_ok=True)
    listed = git.listing(patch, into, package)
    _must_stay_inside(data, listed.paths, patch)
    if binary := sorted(path for path in listed.binary if path.startswith(f"{package}/")):
        raise ConfigError(f"{patch} changes {in_line(binary[0])} as binary data; only Python text can be switched")
    names = [path for path in listed.paths if _is_ours(path, package)]
    if not names:
        raise ConfigError(f"{patch} changes no Python file of {package}; it changes {_some(listed.paths)}")
    olds = [path for path in _old_names(data, listed.level) if _is_ours(path, package) and path not in names]
    for name in [*names, *olds]:
        if paths.is_file(root / name):
            _copy(root / name, into / name)
    base = git.apply(patch, into, listed, [*names, *olds], revert=revert)
    files = [_after(name, root, into) for name in [*names, *olds]]
    return Sources(
        tuple(file for file in files if file is not None),
        tuple(path for path in listed.paths if path not in names),
        hashlib.sha256(data).hexdigest()[:16],
        _title(data),
        base,
    )


def from_tree(tree: Path, root: Path, into: Path, *, only: Sequence[str] = (), package: str = "vllm") -> Sources:
    """The package's files as another source tree has them, where they differ from what is installed.

    Args:
        tree: a folder that holds the package, or the package's own folder.
        root: the folder that holds the installed package.
        into: a folder for the changed files.
        only: dotted names; where all begin with the package's, no other module's file is taken.
        package: the package's name.

    Raises:
        ConfigError: the tree does not hold the package, or has no file that differs.
    """
    if not paths.is_folder(tree / package) and tree.resolve().name == package:
        tree = tree.resolve().parent
    if not paths.is_folder(tree / package):
        raise ConfigError(f"tree {tree} has no folder {package}/; name the folder that holds it")
    files, left_out, digest = [], [], hashlib.sha256()
    for name in sorted({*_python_files(tree, package), *_python_files(root, package)}):
        theirs, installed = tree / name, root / name
        if not _is_wanted(module_name(name), only, package) or _same(theirs, installed):
            continue
        if name.endswith(f"/{GENERATED}"):
            left_out.append(name)
            continue
        digest.update(name.encode())
        if paths.is_file(theirs):
            digest.update(theirs.read_bytes())
            _copy(theirs, into / name)
            files.append(SourceFile(name, module_name(name), into / name, not paths.is_file(installed)))
        else:
            files.append(SourceFile(name, module_name(name), None))
    if not any(file.changed for file in files):
        raise ConfigError(f"tree {tree} has no Python file of {package} that differs from what is installed")
    return Sources(tuple(files), tuple(left_out), digest.hexdigest()[:16], "", "a whole tree")


def files_in(folder: Path, root: Path, package: str = "vllm") -> list[SourceFile]:
    """The changed files that `from_patch` or `from_tree` left in a folder; what a change deletes is not among them."""
    found = sorted(path for path in (folder / package).rglob("*.py") if paths.is_file(path))
    names = [path.relative_to(folder).as_posix() for path in found]
    return [
        SourceFile(name, module_name(name), path, not paths.is_file(root / name))
        for name, path in zip(names, found, strict=True)
        if not (paths.is_file(root / name) and (root / name).read_bytes() == path.read_bytes())
    ]


def module_name(relative: str) -> str:
    """The module of a Python file, by its path below the folder that holds its package."""
    return relative.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def text_of(path: Path) -> str:
    """A Python file's text.

    Raises:
        ConfigError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as Python: {in_line(error)}") from error


def _is_ours(path: str, package: str) -> bool:
    return path.startswith(f"{package}/") and path.endswith(".py")


def _some(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return in_line(", ".join(names[:most]) + more)


def _must_stay_inside(data: bytes, names: Iterable[str], patch: Path) -> None:
    headers = [name.decode(errors="replace") for pair in _NAMES.findall(data) for name in pair]
    for name in [*headers, *names]:
        if name != "/dev/null" and (name.startswith("/") or ".." in PurePosixPath(name).parts):
            raise ConfigError(f"{patch} has the path {in_line(name)}; paths must be relative, and without '..'")


def _old_names(data: bytes, level: int) -> list[str]:
    # A renamed file's old name has no prefix `a/`: a level of 1 takes nothing off it.
    names = (name.decode(errors="replace") for name in _OLD_NAME.findall(data))
    return list(dict.fromkeys("/".join(PurePosixPath(name).parts[max(level - 1, 0) :]) for name in names))


def _after(name: str, root: Path, into: Path) -> SourceFile | None:
    changed, was = into / name, paths.is_file(root / name)
    if changed.is_symlink():
        raise ConfigError(f"the patch makes {in_line(name)} a symbolic link; only Python text can be switched")
    if not paths.is_file(changed):
        return SourceFile(name, module_name(name), None) if was else None
    if was and changed.read_bytes() == (root / name).read_bytes():
        return None
    return SourceFile(name, module_name(name), changed, not was)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _title(data: bytes) -> str:
    head = re.split(rb"^(?:diff --git |--- |Index: )", data, maxsplit=1, flags=re.MULTILINE)[0]
    if not re.search(rb"^Subject: ", head, re.MULTILINE):
        return ""
    lines = head.split(b"\n", 1)
    mail = email.message_from_bytes(lines[1] if lines[0].startswith(b"From ") else head)
    try:
        subject = str(email.header.make_header(email.header.decode_header(mail.get("Subject", ""))))
    except (LookupError, ValueError):  # an encoding that Python does not know, or wrongly used
        subject = str(mail.get("Subject", ""))
    return in_line(re.sub(r"^(?:\[[^\]]*\]\s*)?", "", " ".join(subject.split()), count=1))


def _python_files(folder: Path, package: str) -> list[str]:
    found = (path.relative_to(folder) for path in paths.files_below(folder / package, ".py"))
    return [path.as_posix() for path in found if not {"__pycache__", "tests"} & set(path.parts)]


def _is_wanted(module: str, only: Sequence[str], package: str) -> bool:
    if not only or not all(name.startswith(f"{package}.") for name in only):
        return True
    return any(f"{name}.".startswith(f"{module}.") or module.startswith(f"{name}.") for name in only)


def _same(one: Path, other: Path) -> bool:
    if not (paths.is_file(one) and paths.is_file(other)):
        return False
    return one.read_bytes() == other.read_bytes()
