"""PostgreSQL refuses to run as root; as root it runs as `nobody`, from places that `nobody` can reach."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from engine.errors import ConfigurationError

# Survives a restart of the machine, unlike /tmp, and lies under no one's home.
SHARED_ROOT = Path("/var/lib/structforge")
HOME_NOTE = "postgres-home"
OWNER_NOTE = "belongs-to"


@dataclass(frozen=True, slots=True)
class Account:
    """The user that PostgreSQL runs as."""

    uid: int
    gid: int

    @property
    def is_current(self) -> bool:
        return self.uid == os.geteuid()

    @property
    def argument(self) -> str:
        """As the launcher takes it: empty for the user of this process."""
        return "" if self.is_current else f"{self.uid}:{self.gid}"


def postgres_account() -> Account:
    """This user, or `nobody` if this is root. Raises: ConfigurationError if there is no `nobody`."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        message = "PostgreSQL cannot run as root, and there is no user `nobody`; start as a normal user"
        raise ConfigurationError(message) from None
    return Account(entry.pw_uid, entry.pw_gid)


def place_cluster(data_dir: Path, account: Account) -> Path:
    """Folder for the PostgreSQL files, owned by `account`: in the data folder if the account can get there.

    A data folder under a closed one (such as root's home) has its cluster under `/var/lib/structforge`, in a folder of
    its own that the data folder names; the modes of other folders are never loosened.
    """
    home = data_dir / "postgres"
    note = data_dir / HOME_NOTE
    if note.exists():
        home = Path(note.read_text().strip())
    elif not can_enter(data_dir, account):
        home = SHARED_ROOT / f"postgres-{sha256(os.urandom(16)).hexdigest()[:12]}"
        note.write_text(f"{home}\n")
    _make_home(home, account)
    if note.exists():
        (home / OWNER_NOTE).write_text(f"{data_dir}\n")
    return home


def place_programs(pg_bin: Path, account: Account) -> Path:
    """`pg_bin`, or a copy of the installation if `account` cannot get there; made once for each version.

    Raises: ConfigurationError if the programs cannot be copied, because they are no self-contained folder.
    """
    if can_enter(pg_bin, account):
        return pg_bin
    install = pg_bin.parent
    libraries = install.parent.with_name(install.parent.name + ".libs")
    program = (pg_bin / "postgres").stat()
    key = sha256(f"{pg_bin}:{program.st_size}:{program.st_mtime_ns}".encode()).hexdigest()[:12]
    target = SHARED_ROOT / f"programs-{key}"
    if not target.exists():
        _copy_programs(install, libraries, target)
    return target / install.parent.name / install.name / "bin"


def can_enter(folder: Path, account: Account) -> bool:
    """Whether `account` (without further groups) may pass through `folder` and every folder above it."""
    resolved = folder.resolve()
    return all(_may_pass(part.stat(), account) for part in (resolved, *resolved.parents) if part.exists())


def _may_pass(status: os.stat_result, account: Account) -> bool:
    if account.uid == 0:
        return True
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _make_home(home: Path, account: Account) -> None:
    _make_shared_root(home)
    home.mkdir(mode=0o700, exist_ok=True)
    if not account.is_current:
        os.chown(home, account.uid, account.gid)


def _make_shared_root(child: Path) -> None:
    if child.parent == SHARED_ROOT:
        SHARED_ROOT.mkdir(mode=0o755, parents=True, exist_ok=True)


def _copy_programs(install: Path, libraries: Path, target: Path) -> None:
    if not libraries.exists():
        raise ConfigurationError(
            f"PostgreSQL in {install} cannot be reached by the user it would run as; run as a normal user,"
            " or set STRUCTFORGE_EMBEDDED__POSTGRES_BIN to a folder open to all"
        )
    draft = target.with_name(f"{target.name}.{os.getpid()}")
    draft.mkdir(mode=0o755, parents=True)
    draft.chmod(0o755)
    shutil.copytree(install, draft / install.parent.name / install.name, symlinks=True)
    shutil.copytree(libraries, draft / libraries.name, symlinks=True)
    try:
        draft.rename(target)
    except OSError:
        # Another start was faster; its copy is the same.
        shutil.rmtree(draft)
