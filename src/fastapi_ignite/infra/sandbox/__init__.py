"""What a process can do to protect itself with the kernel's help: Landlock, seccomp, undumpable memory.

Nothing is imported here, as a parser's child process starts for each file and must start fast.
"""
