"""Parse server addresses, to decide whether a connection leaves this machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

_URL = re.compile(r"(?P<scheme>[\w+]+)://(?:[^:/]*(?::(?P<password>[^@]*))?@)?(?P<location>.*)", re.DOTALL)


def is_loopback(host: str) -> bool:
    """Tell whether this host is the machine itself; no name is looked up, except that `localhost` counts."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """The parts of a server's address that decide whether a connection to it is safe."""

    scheme: str
    hosts: tuple[str, ...]
    password: str
    parameters: dict[str, str]

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read a URL as SQLAlchemy does: the password ends at the first `@`. Hosts may be several, or parameters.

        A malformed URL counts as an address on a network. The code that connects reports the error.
        """
        form = _URL.fullmatch(url)
        try:
            location = urlsplit(f"//{form['location'] if form else 'unknown'}")
        except ValueError:
            location = urlsplit("//unknown")
        parameters = parse_qs(location.query)
        places = ",".join((unquote(location.netloc), *parameters.get("host", ())))
        hosts = tuple(_without_port(place) for place in places.split(",") if place)
        last = {name: values[-1] for name, values in parameters.items()}
        return cls(form["scheme"] if form else "", hosts, unquote((form and form["password"]) or ""), last)

    @property
    def on_network(self) -> bool:
        """Tell whether any host is another machine. A host that is a path is a Unix socket."""
        return not all(host.startswith("/") or is_loopback(host) for host in self.hosts)


def _without_port(place: str) -> str:
    if place.startswith("["):
        return place[1:].partition("]")[0]
    return place if place.startswith("/") else place.partition(":")[0]
