"""Commands that act for a tenant of a running stack."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx2

from support.command_line import CommandLine, Finished


@dataclass(frozen=True, slots=True)
class TenantCommands:
    """A new tenant of the stack, its bearer token, and the command line with it."""

    tenant_id: str
    token: str
    commands: CommandLine
    api: str

    def run(self, *arguments: str, **variables: str) -> Finished:
        """Run a command with the token of the tenant, which must never be printed."""
        finished = self.commands.run(*arguments, **{"IGNITE_API_KEY": self.token, **variables})
        assert self.token not in finished.output + finished.error
        return finished

    def json(self, *arguments: str, **variables: str) -> Any:
        """Run a command with --json, and return what it printed, whatever its exit code is."""
        return json.loads(self.run(*arguments, "--json", **variables).output)

    def get(self, path: str, **params: str) -> Any:
        """Return the answer of the API to a GET of the tenant."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx2.get(f"{self.api}{path}", params=params, headers=headers).raise_for_status().json()

    def files_of(self, project_id: str) -> list[dict[str, Any]]:
        """Return all files of a project."""
        rows: list[dict[str, Any]] = []
        page: dict[str, str] = {}
        while True:
            answer = self.get(f"/ingestion/projects/{project_id}/files", **page)
            rows += answer["files"]
            if not answer["has_more"]:
                return rows
            page = {"after": answer["next_after"]}

    def remove(self, project_id: str, file_id: str) -> None:
        """Remove a file and its bytes, as another client would."""
        httpx2.delete(
            f"{self.api}/ingestion/projects/{project_id}/remove_file",
            params={"openai_file_id": file_id, "delete_raw": True},
            headers={"Authorization": f"Bearer {self.token}"},
        ).raise_for_status()
