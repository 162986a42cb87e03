"""Tests that run the instructions of the filter as the kernel does, for both supported processors."""

from __future__ import annotations

import errno
import struct

import pytest

from fastapi_ignite.infra.sandbox import seccomp
from fastapi_ignite.infra.sandbox.syscalls import NUMBERS

LOAD, AND, JUMP_IF_EQUAL, RETURN = 0x20, 0x54, 0x15, 0x06
ALLOW, KILL, ERROR = 0x7FFF0000, 0x80000000, 0x50000
ARCHITECTURES = (0xC000003E, 0xC00000B7)
PROCESS = 4711
THREAD, NEW_USER_NAMESPACE = 0x10000, 0x10000000
MISSING, REFUSED = ERROR | errno.ENOSYS, ERROR | errno.EACCES
X32 = 0x40000000


def verdict(machine: int, number: int, *arguments: int, architecture: int | None = None) -> int:
    program = seccomp._build(
        machine, {"read", "clone", "tgkill", "prlimit64"}, {"openat"}, seccomp._conditions(PROCESS)
    )
    words = [*arguments, *[0] * (6 - len(arguments))]
    call = struct.pack("=IIQ6Q", number, architecture or ARCHITECTURES[machine], 0, *words)
    register = position = 0
    while True:
        code, if_equal, if_not, value = struct.unpack_from("=HBBI", program, position * 8)
        position += 1
        if code == LOAD:
            register = struct.unpack_from("=I", call, value)[0]
        elif code == AND:
            register &= value
        elif code == JUMP_IF_EQUAL:
            position += if_equal if register == value else if_not
        else:
            assert code == RETURN
            return int(value)


def number_of(name: str, machine: int) -> int:
    number = NUMBERS[name][machine]
    assert number is not None
    return number


@pytest.mark.parametrize("machine", [0, 1], ids=["x86_64", "aarch64"])
class TestFilter:
    @pytest.mark.parametrize(
        ("name", "arguments", "wanted"),
        [
            ("read", (0,), ALLOW),
            ("openat", (), REFUSED),
            ("mkdirat", (), MISSING),
            ("clone", (THREAD | 0x3D0F00,), ALLOW),
            ("clone", (17,), MISSING),
            ("clone", (THREAD | NEW_USER_NAMESPACE,), MISSING),
            ("tgkill", (PROCESS, 4712, 6), ALLOW),
            ("tgkill", (PROCESS + 1, PROCESS + 1, 9), MISSING),
            ("prlimit64", (0, 7, 0), ALLOW),
            ("prlimit64", (0, 7, 1), MISSING),
            ("prlimit64", (0, 7, 1 << 32), MISSING),
        ],
    )
    def test_calls(self, machine: int, name: str, arguments: tuple[int, ...], wanted: int) -> None:
        assert verdict(machine, number_of(name, machine), *arguments) == wanted

    def test_calls_of_another_architecture_end_the_process(self, machine: int) -> None:
        assert verdict(machine, number_of("read", machine), architecture=ARCHITECTURES[1 - machine]) == KILL

    def test_a_number_of_the_x32_interface_is_not_its_twin(self, machine: int) -> None:
        assert verdict(machine, X32 | number_of("read", machine)) == MISSING
