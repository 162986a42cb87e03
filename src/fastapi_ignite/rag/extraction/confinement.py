"""The child process gives up its rights in two steps, so that hostile code in a parser finds nothing to reach.

`enclose` comes before the first byte of the file is read: nothing is left but reading the installation. `seal` comes
before the first byte is parsed, when all code is loaded: no file, no socket, no program, no other process. Each guard
holds alone; what the machine lacks is left out and reported, see SECURITY.md.

`python -m fastapi_ignite.rag.extraction.confinement` does both and prints which guards hold.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from dataclasses import asdict, dataclass
from typing import Final

from fastapi_ignite.infra.sandbox import landlock, seccomp
from fastapi_ignite.infra.sandbox.kernel import prevent_dumps
from fastapi_ignite.infra.unprivileged_users import drop_root_privileges

# What the dynamic linker opens for libraries of the installation.
_LIBRARIES: Final = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
_THREADS: Final = 64

# fmt: off
_PARSING: Final = (
    # compute and answer
    "read", "write", "readv", "writev", "lseek", "close", "fstat", "exit", "exit_group",
    "mmap", "munmap", "mprotect", "mremap", "madvise", "brk", "getrandom",
    # signals of its own and threads
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall", "tgkill", "clone", "prctl",
    "set_robust_list", "set_tid_address", "rseq", "futex", "membarrier", "getcpu", "sched_yield", "sched_getaffinity",
    "epoll_wait", "epoll_pwait", "epoll_ctl", "poll", "ppoll",
    # time, and questions about itself
    "nanosleep", "clock_nanosleep", "clock_gettime", "clock_getres", "gettimeofday", "time",
    "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid",
    "getrusage", "sysinfo", "uname", "prlimit64",
)
_LOOKING_AT_PATHS: Final = (
    "open", "openat", "openat2", "stat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2",
    "readlink", "readlinkat",
)
_LOADING: Final = (
    "getdents64", "getcwd", "fcntl", "ioctl", "dup", "pipe2", "eventfd2", "epoll_create1", "socketpair", "pread64",
    "fadvise64", "umask",
)
_SEALING: Final = (
    "setrlimit", "prlimit64", "prctl", "setgroups", "setgid", "setuid", "seccomp",
    "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self",
)
# fmt: on


@dataclass(frozen=True, slots=True)
class Guards:
    """Which guards hold. `landlock` is the ABI version, 0 for none; `own_user` is None where root was not given up."""

    own_user: int | None
    landlock: int
    seccomp: bool
    undumpable: bool


class Confinement:
    """The two steps."""

    def __init__(self) -> None:
        self._landlock = 0
        self._seccomp = False

    def enclose(self) -> None:
        """Leave no more than reading the installation."""
        self._landlock = landlock.restrict(dict.fromkeys((*_installation(), *_LIBRARIES), landlock.READ))
        self._seccomp = seccomp.install((*_PARSING, *_LOOKING_AT_PATHS, *_LOADING), allowed_fully=_SEALING)

    def seal(self) -> Guards:
        """Leave nothing: from here on no file or socket can be opened, nothing imported, and root is given up."""
        sys.meta_path.clear()  # an import that was forgotten is a missing module everywhere, not only under the guards
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        own_user = drop_root_privileges()
        if own_user is not None:
            resource.setrlimit(resource.RLIMIT_NPROC, (_THREADS, _THREADS))
        undumpable = prevent_dumps()  # a change of the user would undo it
        # Threads that a library started meanwhile keep the rules of `enclose`; the filter below is for all threads.
        self._landlock = min(self._landlock, landlock.restrict({}))
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
        self._seccomp = self._seccomp and seccomp.install(_PARSING, refused_paths=_LOOKING_AT_PATHS)
        return Guards(own_user, self._landlock, self._seccomp, undumpable)


def _installation() -> list[str]:
    """Return the folders of this interpreter and its packages, as links that lead there need not be followed again."""
    prefixes = {os.path.realpath(prefix) for prefix in (sys.base_prefix, sys.prefix)}
    return [*sys.path, *(f"{prefix}/{name}" for prefix in prefixes for name in ("lib", "lib64"))]


if __name__ == "__main__":
    confinement = Confinement()
    confinement.enclose()
    print(json.dumps(asdict(confinement.seal())))  # noqa: T201  # the answer
