"""The program that reads one document: its argument is the media type, its standard input the file.

It prints the text as UTF-8. It runs as a process of its own, so a parser that crashes or hangs does not end the server.
"""

from __future__ import annotations

import sys

from kreuzberg import ExtractionConfig, KreuzbergError, extract_bytes_sync


def main() -> int:
    config = ExtractionConfig(
        use_cache=False,
        output_format="plain",
        disable_ocr=True,  # type: ignore[call-arg]  # missing from the stub only
    )
    try:
        text = extract_bytes_sync(sys.stdin.buffer.read(), sys.argv[1], config).content
    except (KreuzbergError, ValueError, OSError, RuntimeError):
        return 1
    sys.stdout.buffer.write(text.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
