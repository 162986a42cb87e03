"""From a call of a decorated function to its key, its tags and its tenant."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from fastapi_ignite.infra.cache.keys import Template, entry_key, tag

_RECEIVERS = ("self", "cls")


class CallSignature:
    """What identifies a call. A function of tenants says whose data it works on; one of none says `shared`."""

    def __init__(
        self, function: Callable[..., Any], *, tags: Sequence[str], shared: bool, key: str | None = None
    ) -> None:
        self._name = function.__qualname__
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"{self._name} is not an async function")
        self._signature = inspect.signature(function)
        parameters = list(self._signature.parameters)
        self._receiver = parameters[0] if parameters and parameters[0] in _RECEIVERS else None
        self._values = [name for name in parameters if name != self._receiver]
        self._shared = shared
        if not shared and "tenant_id" not in parameters and self._receiver is None:
            raise TypeError(
                f"{self._name} has no tenant_id: give it one, or say shared=True where every tenant may see the result"
            )
        self._key = Template.parse(key or re.sub(r"[^\w.]", "", f"{function.__module__}.{self._name}", flags=re.ASCII))
        if not self._key.parameters:
            own = (name for name in self._values if shared or name != "tenant_id")
            self._key = Template(self._key.name, tuple(own))
        self._tags = [Template.parse(text) for text in tags]
        for template in (self._key, *self._tags):
            unknown = set(template.parameters) - set(self._values)
            if unknown:
                raise ValueError(f"{self._name} has no parameter {', '.join(sorted(unknown))}")

    @property
    def name(self) -> str:
        """The key without its values."""
        return self._key.name

    def arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """By name, defaults filled in: calls that mean the same look the same."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    def key(self, arguments: Mapping[str, Any], version: str) -> str:
        """The entry's key."""
        return entry_key(self._key.name, version, self._tenant(arguments), self._key.values(arguments))

    def tags(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        """The tags, each of them the tenant's own."""
        tenant_id = self._tenant(arguments)
        return tuple(
            tag(template.name, *(arguments[name] for name in template.parameters), tenant_id=tenant_id)
            for template in self._tags
        )

    def _tenant(self, arguments: Mapping[str, Any]) -> UUID | None:
        """Raises: TypeError: nobody said whose data this is."""
        if self._shared:
            return None
        if "tenant_id" in arguments:
            tenant_id = arguments["tenant_id"]
        else:
            tenant_id = getattr(arguments[self._receiver or ""], "tenant_id", None)
        if not isinstance(tenant_id, UUID):
            raise TypeError(f"{self._name}: tenant_id is no UUID; a cached result belongs to a tenant, or is shared")
        return tenant_id
