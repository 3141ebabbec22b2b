"""The system calls that an isolated Python may make, as a program for the kernel's filter.

It names what is allowed. Among what is not: further processes (threads are), ptrace, io_uring, userfaultfd, bpf,
keyrings, mount, unshare, perf events, memory files, System V and POSIX message queues and shared memory, and every
socket but a local pair. The calls that change user and group are there because a worker that runs as root gives up its
rights inside.
"""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from functools import cache
from typing import Any

from engine.errors import INVALID_CONFIG, NodeError

_CLONE_THREAD = 0x00010000
# Is it a terminal, how large is it, how much waits, blocking or not, closed on exec or not.
_IOCTL_REQUESTS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)

_FILES = """
access chdir chmod close close_range copy_file_range dup dup2 dup3 faccessat faccessat2 fadvise64 fallocate fchdir
fchmod fchmodat fcntl fdatasync flock fstat fstatfs fsync ftruncate getcwd getdents getdents64 link linkat lseek lstat
mkdir mkdirat newfstatat open openat pipe pipe2 pread64 preadv pwrite64 pwritev read readlink readlinkat readv rename
renameat renameat2 rmdir sendfile stat statfs statx symlink symlinkat truncate umask unlink unlinkat utime utimensat
write writev
"""
_MEMORY = "brk madvise membarrier mincore mmap mprotect mremap msync munmap"
_WAITING = """
epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 poll ppoll pselect6 select
timerfd_create timerfd_gettime timerfd_settime
"""
_SOCKET_PAIRS = "getpeername getsockname getsockopt recvfrom sendto setsockopt shutdown"
_PROCESS = """
alarm arch_prctl capget execve exit exit_group futex futex_waitv get_robust_list getcpu getegid geteuid getgid
getgroups getitimer getpgid getpgrp getpid getppid getpriority getresgid getresuid getrlimit getrusage getsid gettid
getuid kill pause prctl prlimit64 restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
rt_sigreturn rt_sigsuspend rt_sigtimedwait sched_get_priority_max sched_get_priority_min sched_getaffinity
sched_getparam sched_getscheduler sched_yield set_robust_list set_tid_address setgid setgroups setitimer setpriority
setresgid setresuid setrlimit setuid sigaltstack sysinfo tgkill times tkill uname wait4 waitid
"""
_CLOCKS = "clock_getres clock_gettime clock_nanosleep getrandom gettimeofday nanosleep time"
ALLOWED = tuple(f"{_FILES} {_MEMORY} {_WAITING} {_SOCKET_PAIRS} {_PROCESS} {_CLOCKS}".split())


@cache
def filter_program() -> bytes:
    """The filter as the kernel reads it, built once.

    Raises: NodeError INVALID_CONFIG if libseccomp is not installed.
    """
    try:
        import pyseccomp  # fails to import where the library is missing
    except (ImportError, RuntimeError, OSError):
        message = "runtime cpython needs pyseccomp and the library libseccomp.so.2 (package libseccomp2)"
        raise NodeError(message, code=INVALID_CONFIG, details={"missing": "libseccomp"}) from None
    return _built(pyseccomp)


def _built(library: Any) -> bytes:
    rules = library.SyscallFilter(library.ERRNO(errno.EPERM))
    for name in ALLOWED:
        # A name that this architecture lacks is skipped by the library's own resolution.
        if library.resolve_syscall(library.system_arch(), name) >= 0:
            rules.add_rule(library.ALLOW, name)
    rules.add_rule(library.ALLOW, "clone", library.Arg(0, library.MASKED_EQ, _CLONE_THREAD, _CLONE_THREAD))
    # Its flags lie in memory, where no filter sees them; without it the C library falls back to clone.
    rules.add_rule(library.ERRNO(errno.ENOSYS), "clone3")
    rules.add_rule(library.ALLOW, "socketpair", library.Arg(0, library.EQ, socket.AF_UNIX))
    for request in _IOCTL_REQUESTS:
        rules.add_rule(library.ALLOW, "ioctl", library.Arg(1, library.EQ, request))
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


def open_filter() -> int:
    """A descriptor from which the program can be read once; the caller closes it."""
    program = filter_program()
    descriptor = os.memfd_create("filter")
    os.write(descriptor, program)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
