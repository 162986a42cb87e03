"""A headless Chromium, driven through its DevTools pipe. Nothing but the browser itself is needed."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless",
    "--no-sandbox",  # the tests run as root, where Chromium has no sandbox; it opens our own pages only
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--remote-debugging-pipe",
)
WAIT_SECONDS = 30


class Page:
    """One tab. `evaluate` runs JavaScript in it, `urls` are the addresses that it has asked for."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.WriteTransport) -> None:
        self._reader = reader
        self._writer = writer
        self._session: str | None = None
        self._number = 0
        self.urls: list[str] = []

    async def open(self, url: str) -> None:
        """Open a tab and start to load this page in it."""
        target = await self._send("Target.createTarget", url="about:blank")
        attached = await self._send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        await self._send("Network.enable")
        await self._send("DOM.enable")
        await self._send("Page.navigate", url=url)

    async def evaluate(self, script: str) -> Any:
        """Return the value of an expression, which may be a promise."""
        answer = await self._send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def wait_for(self, script: str) -> None:
        """Wait in the page until the expression is true."""
        look = f"(function look(seen) {{ ({script}) ? seen(true) : setTimeout(look, 50, seen); }})"
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self.evaluate(f"new Promise({look})")
        except TimeoutError:
            raise AssertionError(f"the page does not come to: {script}") from None

    async def click(self, selector: str) -> None:
        """Wait for the element, and click on it."""
        await self.wait_for(f"document.querySelector('{selector}')")
        await self.evaluate(f"document.querySelector('{selector}').click()")

    async def type(self, selector: str, text: str) -> None:
        """Type into a field as a user does, and leave the field."""
        await self.wait_for(f"document.querySelector('{selector}')")
        await self.evaluate(f"document.querySelector('{selector}').focus()")
        await self._send("Input.insertText", text=text)
        await self.evaluate("document.activeElement.blur()")

    async def choose_files(self, selector: str, files: Sequence[Path]) -> None:
        """Choose these files in a file picker."""
        root = (await self._send("DOM.getDocument"))["root"]["nodeId"]
        node = (await self._send("DOM.querySelector", nodeId=root, selector=selector))["nodeId"]
        await self._send("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    async def _send(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._writer.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = json.loads((await self._reader.readuntil(b"\0"))[:-1])
            if answer.get("method") == "Network.requestWillBeSent":
                self.urls.append(answer["params"]["request"]["url"])
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]


@asynccontextmanager
async def browser_page(folder: Path) -> AsyncGenerator[Page]:
    """Start Chromium with a new profile in the folder, and end it with all of its processes."""
    assert CHROMIUM
    commands_out, commands_in = os.pipe()
    answers_out, answers_in = os.pipe()
    process = await asyncio.create_subprocess_exec(
        "/bin/bash",
        "-c",
        f'exec "$@" 3<&{commands_out} 4>&{answers_in} 2>"$0"',  # Chromium reads and writes these two descriptors
        str(folder / "chromium.log"),
        CHROMIUM,
        *OPTIONS,
        f"--user-data-dir={folder / 'profile'}",
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        pass_fds=(commands_out, answers_in),
    )
    os.close(commands_out)
    os.close(answers_in)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**26)
    reading, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(answers_out, "rb")
    )
    writing, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(commands_in, "wb"))
    try:
        yield Page(reader, writing)
    finally:
        writing.close()  # Chromium ends when its pipe does
        reading.close()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()
