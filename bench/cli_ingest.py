"""Shows `cli.py ingest` on a folder of mixed files: killed again and again, and resumed.

    python -m bench.cli_ingest [--files 500] [--kills 3] [--parallel 4]

Starts `cli.py up` on a folder and a port of its own. The files are notes, tables, pages, PDFs and Word documents; one
in fifty is broken. Each run but the last is killed (SIGKILL) in the middle of an upload. A proxy counts the uploads.
At the end every file must be in the project once and be charged once, and one more run must send nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

from support.command_line import CommandLine, open_folder
from support.recording_proxy import RecordingProxy, recording_proxy
from support.running_stack import RunningStack
from support.sample_files import make_docx, make_pdf
from support.tenant_commands import TenantCommands

PLAN = ("--max-projects", "10", "--message-cap", "100", "--upload-char-cap", "100000000")
LOOK_SECONDS = 0.02
PARAGRAPH = "The gearbox of line {number} was inspected in hall {hall}, and part {part} was replaced. "


def make_files(folder: Path, count: int) -> int:
    """Write so many files of five formats into folders, one in fifty broken, and return their bytes."""
    total = 0
    for number in range(count):
        text = "\n\n".join(PARAGRAPH.format(number=number, hall=number % 9, part=part) * 3 for part in range(12))
        kinds = (
            ("md", text.encode()),
            ("csv", "\n".join(f"{number},{row},part {row}" for row in range(200)).encode()),
            ("html", f"<html><h1>Line {number}</h1><p>{text}</p></html>".encode()),
            ("pdf", make_pdf([text[:900], text[900:1800]])),
            ("docx", make_docx([text[:500], text[500:1500]])),
        )
        suffix, content = ("pdf", b"%PDF-1.7 broken") if number % 50 == 49 else kinds[number % len(kinds)]
        path = folder / f"line-{number % 20}" / f"report.{number}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content + (str(number).encode() if number % 50 == 49 else b""))
        total += path.stat().st_size
    return total


def run_until_killed(command: subprocess.Popen[str], proxy: RecordingProxy, upload: int) -> str:
    """Kill a run when half of the body of this upload has arrived, and tell what happened."""
    proxy.hold_body = upload
    while not proxy.held.wait(LOOK_SECONDS):
        if command.poll() is not None:
            return f"ended by itself with {command.returncode}: {command.communicate()[1][-300:]}"
    os.killpg(command.pid, signal.SIGKILL)
    command.communicate()
    proxy.cut()
    return f"killed in upload {upload}, after {len(proxy.accepted)} accepted ones"


def main() -> None:
    """Run the show, and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--parallel", type=int, default=4)
    options = parser.parse_args()
    with open_folder() as made:
        stack = RunningStack(made, RATE_LIMIT_RPM="100000")
        try:
            show(stack.wait_until_healthy(), made, options)
        finally:
            stack.end()


def show(stack: RunningStack, made: Path, options: argparse.Namespace) -> None:
    """Make the files, ingest them with kills, and check what the project has."""
    files = made / "files"
    byte_count = make_files(files, options.files)
    commands: CommandLine = stack.commands
    commands.run("plans", "set", "bench", *PLAN).succeeded()
    tenant_id = commands.run("tenants", "create", "Bench", "--plan", "bench").succeeded().strip()
    token = commands.run("token", tenant_id).succeeded().strip()
    tenant = TenantCommands(tenant_id, token, commands, stack.api)
    print(f"{options.files} files, {byte_count / 2**20:.1f} MiB")
    with recording_proxy(stack.api) as proxy:
        arguments = ["ingest", "Bench", str(files), "--create", "--json", "--files-per-request", "20"]
        arguments += ["--parallel", str(options.parallel)]
        began = time.monotonic()
        for kill in range(1, options.kills + 1):
            upload = kill * options.files // 20 // (options.kills + 1)
            running = commands.start(*arguments, IGNITE_API_KEY=token, IGNITE_URL=proxy.url)
            print(f"run {kill}: {run_until_killed(running, proxy, upload)}")
        last = time.monotonic()
        finished = commands.start(*arguments, IGNITE_API_KEY=token, IGNITE_URL=proxy.url)
        output, error = finished.communicate()
        ended = time.monotonic()
    print(error.splitlines()[-1])
    summary = json.loads(output)
    report(tenant, proxy, summary, files)
    print(f"exit code {finished.returncode}; last run {ended - last:.1f} s, all runs {ended - began:.1f} s")
    began = time.monotonic()
    again = json.loads(commands.start(*arguments, IGNITE_API_KEY=token).communicate()[0])
    print(f"once more: {again['files']['sent']} sent, {time.monotonic() - began:.1f} s")
    print(f"peak memory of a run: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f} MiB")
    assert not again["files"]["sent"]


def report(tenant: TenantCommands, proxy: RecordingProxy, summary: dict[str, Any], files: Path) -> None:
    """Print the figures, and check that every file is there once and charged once."""
    print(json.dumps(summary["files"]))
    print("failures by code:", dict(Counter(failure["code"] for failure in summary["failures"])))
    rows = tenant.files_of(summary["project_id"])
    names = Counter(row["filename"] for row in rows)
    wanted = {str(path.relative_to(files)) for path in files.rglob("*") if path.is_file()}
    charged = tenant.get("/limits/current")["usage"]["chars_uploaded"]
    counted = sum(row["characters"] or 0 for row in rows if not row["deduplicated"])
    cut = sum(upload.status is None for upload in proxy.uploads)
    accepted = proxy.accepted
    print(f"uploads: {len(proxy.uploads)} begun, {cut} cut off by the kills, {len(accepted)} accepted")
    print(f"files in the project: {len(rows)}, twice: {sum(count > 1 for count in names.values())}")
    print(f"characters charged: {charged:,}, of the files: {counted:,}")
    assert set(names) == wanted
    assert len(rows) == len(wanted)
    assert len(set(accepted)) == len(accepted)
    assert charged == counted


if __name__ == "__main__":
    main()
