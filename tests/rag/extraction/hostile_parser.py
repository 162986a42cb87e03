"""A parser in which an attacker runs code. It tries everything that must fail, and answers with what succeeded.

It is the real child's main program, with the attacker in place of one of its functions. `argv[1]` is JSON with
`targets`, `place` (the function), `user` (the user to become first; None changes nothing), `lacks` (the guards that
this machine is to lack) and `forked` (whether this program is a fork server, whose parsers are hostile).
"""

from __future__ import annotations

import codecs
import contextlib
import ctypes
import json
import os
import resource
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest import mock

from fastapi_ignite.infra.sandbox import landlock, seccomp
from fastapi_ignite.rag.extraction import child, confinement, fork_server
from fastapi_ignite.rag.extraction.readers import load_code
from fastapi_ignite.rag.extraction.result import ExtractedText

PTRACE_SEIZE, PTRACE_DETACH = 0x4206, 17
SHARED_MEMORY_BYTES = 4096
ANSWER = os.dup(1)
os.set_inheritable(ANSWER, True)
libc = ctypes.CDLL(None, use_errno=True)


def succeeded(result: int) -> int:
    if result == -1:
        raise OSError(ctypes.get_errno(), "refused")
    return result


def read(path: str) -> None:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123  # an attacker would use the plain system call too
        assert file.read(1)


def open_memory(pid: int) -> None:
    os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR))


def connect(kind: int, address: Any, family: int = socket.AF_INET) -> None:
    with socket.socket(family, kind) as client:
        client.settimeout(5)
        client.connect(address)
        client.send(b"x")


def attach(pid: int) -> None:
    words = [ctypes.c_long(word) for word in (PTRACE_SEIZE, pid, 0, 0)]
    succeeded(libc.ptrace(*words))
    libc.ptrace(ctypes.c_long(PTRACE_DETACH), ctypes.c_long(pid), None, None)


def fork() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    with contextlib.suppress(OSError):
        os.waitpid(pid, 0)


def write(folder: str) -> None:
    path = f"{folder}/written-by-attacker-{os.getpid()}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    os.unlink(path)  # noqa: PTH108  # as above
    os.close(descriptor)


def make_folder(path: str) -> None:
    os.mkdir(path)  # noqa: PTH102  # as above
    os.rmdir(path)  # noqa: PTH106  # as above


def share_memory() -> None:
    segment = succeeded(libc.shmget(0, SHARED_MEMORY_BYTES, 0o1600))
    libc.shmctl(segment, 0, None)


def in_memory_file() -> None:
    os.close(os.memfd_create("x"))


def become_root() -> None:
    os.setuid(0)
    assert os.getuid() == 0


def allow_dumps() -> None:
    succeeded(libc.prctl(4, 1, 0, 0, 0))


def change_limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (30, 30))


def attempts(targets: dict[str, Any]) -> dict[str, Callable[[], object]]:
    found: dict[str, Callable[[], object]] = {}
    for name, path in targets["files"].items():
        found[f"read {name}"] = partial(read, path)
    for name, pid in targets["processes"].items():
        found[f"signal {name}"] = partial(os.kill, pid, 0)
    for name, port in targets["ports"].items():
        found[f"connect to {name}"] = partial(connect, socket.SOCK_STREAM, ("127.0.0.1", port))
    victim, own, path = targets["victim"], targets["own_file"], targets["socket"]
    return found | {
        "read environment": lambda: read(f"/proc/{victim}/environ"),
        "open memory": lambda: open_memory(victim),
        "attach debugger": lambda: attach(victim),
        "send datagram": lambda: connect(socket.SOCK_DGRAM, ("127.0.0.1", 53)),
        "connect to unix socket": lambda: connect(socket.SOCK_STREAM, path, socket.AF_UNIX),
        "connect to abstract socket": lambda: connect(socket.SOCK_STREAM, f"\0{targets['abstract']}", socket.AF_UNIX),
        "list a folder": lambda: os.listdir("/proc"),  # noqa: PTH208  # as above
        "see a file": lambda: os.stat("/etc/passwd"),  # noqa: PTH116  # as above
        "write to /tmp": lambda: write("/tmp"),  # noqa: S108  # must fail
        "write to /dev/shm": lambda: write("/dev/shm"),  # noqa: S108  # must fail
        "change a file's mode": lambda: os.chmod(own, 0o600),  # noqa: PTH101  # as above
        "make a folder": partial(make_folder, f"{own}-d"),
        "fork": fork,
        "share memory": share_memory,
        "make a file in memory": in_memory_file,
        "allow dumps again": allow_dumps,
        "change a limit": change_limit,
    }


def reached(targets: dict[str, Any]) -> list[str]:
    found = []
    for name, attempt in attempts(targets).items():
        try:
            attempt()
        except (OSError, AssertionError):
            continue
        found.append(name)
    return found


def execute(found: list[str]) -> None:
    """This attempt comes last: if it succeeds, it replaces this program, and a shell answers in its place."""
    text = json.dumps([*found, "run a program"])
    header = json.dumps({"media_type": "text/plain", "page_starts": None, "spans": [], "bytes": len(text)})
    try:
        script = f'printf "%s\\n%s" "$0" "$1" >&{ANSWER}'
        os.execv("/bin/sh", ["sh", "-c", script, header, text])  # noqa: S606  # must fail
    except OSError:
        return


def take_away(lacks: set[str]) -> None:
    """Disable these guards, as on a machine without them."""
    if "landlock" in lacks:
        mock.patch.object(landlock, "restrict", return_value=0).start()
    if "seccomp" in lacks:
        mock.patch.object(seccomp, "install", return_value=False).start()
    if "own user" in lacks:
        mock.patch.object(confinement, "drop_root_privileges", return_value=None).start()
    if "limits" in lacks:
        mock.patch.object(confinement, "resource").start()


def main() -> None:
    plan = json.loads(sys.argv[1])
    targets, lacks = plan["targets"], set(plan["lacks"])
    load_code()
    codecs.lookup("cp437")  # like the readers, because the user may not be allowed to read the installation
    if plan["user"] is not None:
        os.setgroups([])
        os.setgid(plan["user"])
        os.setuid(plan["user"])
    take_away(lacks)

    def attack(*_: object) -> ExtractedText:
        found = reached(targets)
        # If the limits are the only guard, a program starts but cannot open its libraries, and nothing would answer.
        if "limits" in lacks or not {"landlock", "seccomp"} <= lacks:
            execute(found)
        answer = ExtractedText(json.dumps(found), None, "text/plain")
        mock.patch.object(child, "extract_text", return_value=answer).start()
        return answer

    mock.patch.object(child, plan["place"], attack).start()
    sys.argv = ["child", "plain", json.dumps({})]
    fork_server.main() if plan["forked"] else child.main()


main()
