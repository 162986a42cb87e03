"""Reads the events of an iCalendar (RFC 5545) as a mail program shows them: what, when, where, and by whom."""

from __future__ import annotations

import re
from typing import Final

_FOLD: Final = re.compile(r"\n[ \t]")
_LINE: Final = re.compile(r"([A-Za-z-]+)((?:;[^:;=\"]*=(?:\"[^\"]*\"|[^:;\"]*))*+):(.*)")
_PARAMETER: Final = re.compile(r";([^:;=\"]*)=(?:\"([^\"]*)\"|([^:;\"]*))")
_TIME: Final = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z?))?")
_ESCAPE: Final = re.compile(r"\\(.)")
_LABELS: Final = {
    "SUMMARY": "Event",
    "DTSTART": "Start",
    "DTEND": "End",
    "LOCATION": "Location",
    "ORGANIZER": "Organizer",
    "DESCRIPTION": "Description",
}


def calendar_text(source: str) -> str:
    """Return the events of a calendar, one paragraph for each; other components are left out."""
    events: list[list[str]] = []
    depth: list[str] = []
    for line in _FOLD.sub("", source).split("\n"):
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        name, value = match[1].upper(), match[3]
        if name == "BEGIN":
            depth.append(value.strip().upper())
            if depth[-1] == "VEVENT":
                events.append([])
        elif name == "END":
            del depth[-1:]
        elif depth and depth[-1] == "VEVENT" and name in _LABELS:
            parameters = {found[1].upper(): found[2] or found[3] or "" for found in _PARAMETER.finditer(match[2])}
            text = _value(name, value, parameters)
            if text:
                events[-1].append(f"{_LABELS[name]}: {text}")
    return "\n\n".join("\n".join(lines) for lines in events if lines)


def _value(name: str, value: str, parameters: dict[str, str]) -> str:
    if name in {"DTSTART", "DTEND"}:
        return _time(value.strip(), parameters.get("TZID", ""))
    if name == "ORGANIZER":
        address = re.sub("^mailto:", "", value.strip(), flags=re.IGNORECASE)
        common_name = parameters.get("CN", "")
        return f"{common_name} <{address}>" if common_name and common_name != address else address
    return _ESCAPE.sub(lambda found: "\n" if found[1] in "nN" else found[1], value).strip()


def _time(value: str, zone: str) -> str:
    match = _TIME.fullmatch(value)
    if match is None:
        return value
    year, month, day, hour, minute, _, utc = match.groups()
    date = f"{year}-{month}-{day}"
    if hour is None:
        return date
    zone = "UTC" if utc else zone
    return f"{date} {hour}:{minute}" + (f" ({zone})" if zone else "")
