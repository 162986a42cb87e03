"""Restrictions that a process puts on itself through the kernel: Landlock, seccomp, no memory dumps.

This file imports nothing, because the parser's child process starts for each file and must start fast.
"""
