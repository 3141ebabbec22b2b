"""What an isolated Python sees of the file system: the interpreter, its standard library and the system's libraries,
read-only, and a small /tmp. No /proc, no /sys, no devices but three, nothing of ours and no installed packages."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_SYSTEM_LIBRARIES = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib64")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
_HIDDEN = ("site-packages", "dist-packages")


@dataclass(frozen=True, slots=True)
class _Shown:
    """Something of the host that is shown inside, by an option of bubblewrap that takes a source and a place."""

    option: str
    source: str
    place: str

    def arguments(self) -> list[str]:
        return [self.option, self.source, self.place]


def interpreter() -> str:
    """The worker's Python itself, not the link of a virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def library_path() -> str | None:
    """The folder of libpython, where the interpreter is built on a shared one."""
    folder, name = sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME")
    shared = sysconfig.get_config_var("Py_ENABLE_SHARED")
    return str(folder) if shared and folder and Path(folder, str(name)).exists() else None


def view_arguments(tmp_bytes: int) -> list[str]:
    """Arguments for bubblewrap; `tmp_bytes` 0 gives no writable place at all."""
    tmp = ["--perms", "1777", "--size", str(tmp_bytes), "--tmpfs", "/tmp"]  # noqa: S108
    nothing = ["--dir", "/tmp"]  # noqa: S108
    return [*_fixed(), *(tmp if tmp_bytes else nothing), "--remount-ro", "/", "--chdir", "/tmp"]  # noqa: S108


@cache
def _fixed() -> tuple[str, ...]:
    shown = [*_libraries(), _as_it_is(interpreter()), *_standard_library()]
    shown += [_Shown("--dev-bind", device, device) for device in _DEVICES]
    if Path("/usr/share/zoneinfo").is_dir():
        shown.append(_as_it_is("/usr/share/zoneinfo"))
    folders = [part for folder in _folders_above(shown) for part in ("--perms", "0755", "--dir", folder)]
    mounts = [part for one in shown for part in one.arguments()]
    hidden = [part for folder in _hidden() for part in ("--size", "4096", "--tmpfs", folder, "--remount-ro", folder)]
    return (*folders, *mounts, *hidden)


def _folders_above(shown: list[_Shown]) -> list[str]:
    """Folders on the way to what is shown, for all to enter: bubblewrap would make them for their owner alone."""
    places = [Path(one.place) for one in shown]
    above = {parent for place in places for parent in place.parents} - {Path("/")}
    return sorted(str(folder) for folder in above if not any(folder.is_relative_to(place) for place in places))


def _libraries() -> Iterator[_Shown]:
    """The system's library folders, of which only the architecture's own where there is one."""
    architecture = sysconfig.get_config_var("MULTIARCH") or ""
    for folder in map(Path, _SYSTEM_LIBRARIES):
        own = folder / architecture
        if folder.is_symlink():
            yield _Shown("--symlink", str(folder.readlink()), str(folder))
        elif architecture and own.is_dir():
            yield _as_it_is(str(own))
        elif folder.is_dir():
            yield _as_it_is(str(folder))


def _standard_library() -> Iterator[_Shown]:
    yield from (_as_it_is(str(folder)) for folder in _standard_folders())
    shared = library_path()
    if shared is not None:
        yield _as_it_is(str(Path(shared, str(sysconfig.get_config_var("INSTSONAME")))))


def _hidden() -> Iterator[str]:
    """Installed packages of the base interpreter, among them perhaps this application."""
    for folder in _standard_folders():
        yield from (str(folder / name) for name in _HIDDEN if (folder / name).is_dir())


def _standard_folders() -> list[Path]:
    return [Path(path) for path in dict.fromkeys(map(_of_base, ("stdlib", "platstdlib"))) if Path(path).is_dir()]


def _of_base(name: str) -> str:
    """A folder of the interpreter that a virtual environment was made from."""
    return sysconfig.get_path(name, vars={"base": sys.base_prefix, "platbase": sys.base_exec_prefix})


def _as_it_is(path: str) -> _Shown:
    return _Shown("--ro-bind", path, path)
