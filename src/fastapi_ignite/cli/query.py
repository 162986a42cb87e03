"""`cli.py ask` and `cli.py search`: ask a question, or find passages."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from fastapi_ignite.cli.api_client import ApiClient, Problem, RequestRefusedError
from fastapi_ignite.cli.connection import Tenant, Token, Url, connect
from fastapi_ignite.cli.output import Json, plain, print_json
from fastapi_ignite.cli.projects import find_project
from fastapi_ignite.core.errors import UnavailableError

Project = Annotated[str, typer.Argument(help="Id or name of the project.")]


def register(app: typer.Typer) -> None:
    app.command("ask")(ask)
    app.command("search")(search)


def ask(
    project: Project,
    question: Annotated[str, typer.Argument(help="The question, in any language.")],
    *,
    conversation: Annotated[
        str | None, typer.Option(help="Id of an earlier conversation, to go on with it.", metavar="ID")
    ] = None,
    url: Url = None,
    token: Token = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Ask a question about the files of a project, and print the answer with its quotes."""
    with connect(url, token, tenant) as client:
        body = {"project_id": find_project(client, project)["id"], "question": question}
        if conversation:
            body["conversation_id"] = conversation
        if as_json:
            print_json(client.post("/query/ask", body=body))
            return
        if sys.stdout.isatty():
            answer = _stream(client, body)
        else:
            answer = client.post("/query/ask", body=body)
            typer.echo(plain(answer["answer"]))
    print_citations(answer["citations"])
    if not answer["answerable"]:
        typer.echo("\nThe files do not contain the answer.")
    typer.echo(f"\nTo go on: --conversation {answer['conversation_id']}")


def search(
    project: Project,
    words: Annotated[list[str], typer.Argument(metavar="WORDS...", help="What to look for.")],
    *,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Largest number of passages.")] = 10,
    url: Url = None,
    token: Token = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Find the passages of a project that match best. No model is called."""
    with connect(url, token, tenant) as client:
        project_id = find_project(client, project)["id"]
        found = client.post("/query/search", body={"project_id": project_id, "query": " ".join(words), "limit": limit})
    if as_json:
        print_json(found)
        return
    for number, passage in enumerate(found["results"], start=1):
        typer.echo(f"[{number}] {_place(passage)}, score {passage['score']:.2f}")
        typer.echo(_indented(passage["text"]))
    if not found["results"]:
        typer.echo("Nothing was found.")


def print_citations(citations: list[dict[str, Any]]) -> None:
    """Print the quotes of an answer, with their places."""
    for number, citation in enumerate(citations, start=1):
        unproven = "" if citation["verified"] else ", not verified"
        typer.echo(f"\n[{number}] {_place(citation)}{unproven}")
        typer.echo(_indented(f'"{citation["quote"]}"'))


def _stream(client: ApiClient, body: dict[str, Any]) -> dict[str, Any]:
    """Print the words of an answer as they arrive, and return the whole answer.

    Raises:
        RequestRefusedError: The answer ended with a problem.
    """
    printed = False
    with client.events("/query/ask", {**body, "stream": True}) as events:
        for kind, data in events:
            if kind == "sources" and printed:
                typer.echo("\n\nA file was removed meanwhile. The answer begins again:")
            elif kind == "delta":
                typer.echo(plain(data["text"]), nl=False)
                printed = True
            elif kind == "error":
                raise RequestRefusedError(Problem(data["status"], data["code"], data["detail"], data.get("request_id")))
            elif kind == "done":
                typer.echo("" if printed else plain(data["answer"]))
                return data
    raise UnavailableError("The answer ended before it was complete. Ask again.")


def _place(found: dict[str, Any]) -> str:
    page = f", page {found['page']}" if found["page"] else ""
    return f"{plain(found['filename'])}{page}, characters {found['char_start']} to {found['char_end']}"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in plain(text).splitlines())
