"""Tests that the committed OpenAPI document is current, and complete for readers and client generators."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from pydantic import BaseModel

from fastapi_ignite.core.config import PROJECT_ROOT, default_settings
from fastapi_ignite.core.errors import IgniteError
from fastapi_ignite.http.openapi import reached
from support.doc_pages import page
from support.error_types import error_types
from support.http_contract import PROBLEM, UNSHOWN_MEMBERS, Operation, document, operations

JSON = "application/json"


def test_the_committed_document_is_current() -> None:
    assert json.loads(page("docs/openapi.json")) == document(), "run 'make pages'"


def test_it_says_how_to_authenticate_and_who_made_it() -> None:
    about = document()["info"]
    assert "Authorization: Bearer" in about["description"]
    assert about["contact"]["url"].startswith("https://")
    assert about["license"] == {"name": "MIT", "identifier": "MIT"}


def test_every_tag_is_described_and_used() -> None:
    described = {tag["name"] for tag in document()["tags"] if tag["description"]}
    assert described == {tag for operation in operations() for tag in operation.definition["tags"]}


def test_operation_ids_are_unique_names() -> None:
    ids = Counter(operation.definition["operationId"] for operation in operations())
    assert set(ids.values()) == {1}
    assert all(name.isidentifier() for name in ids)


BOUNDED_FORMATS = {"uuid", "date", "date-time"}


def choices(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Return the schemas of a value behind references and alternatives.

    Bounds that stand beside alternatives apply to each of them.
    """
    if "$ref" in schema:
        yield from choices(document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
        return
    alternatives = [choice for kind in ("anyOf", "oneOf", "allOf") for choice in schema.get(kind, [])]
    for alternative in alternatives:
        yield from ({**schema, **choice} for choice in choices(alternative))
    if not alternatives:
        yield schema


def unbounded(schema: Mapping[str, Any], place: str, around: frozenset[str] = frozenset()) -> Iterator[str]:
    """Return the places of an input that have no upper bound. A model that holds itself is looked at once.

    `around` has the titles of the models that the place is in.
    """
    for choice in choices(schema):
        kind = choice.get("type")
        if kind == "string" and not (choice.keys() & {"maxLength", "enum", "const"}):
            yield from [place] * (choice.get("format") not in BOUNDED_FORMATS)
        elif kind in {"integer", "number"} and not {"minimum", "maximum"} <= choice.keys():
            yield place
        elif kind == "array":
            yield from [place] * ("maxItems" not in choice)
            yield from unbounded(choice["items"], f"{place}[]", around)
        elif kind == "object" and choice["title"] not in around:
            for name, field in choice.get("properties", {}).items():
                yield from unbounded(field, f"{place}.{name}", around | {choice["title"]})


@pytest.mark.parametrize("operation", operations(), ids=str)
class TestEach:
    def test_has_a_summary_in_words(self, operation: Operation) -> None:
        summary = operation.definition["summary"]
        assert " " in summary
        assert len(summary) <= 120
        assert not summary.endswith(".")

    def test_required_parameters_have_an_example(self, operation: Operation) -> None:
        parameters = operation.definition.get("parameters", [])
        assert [each["name"] for each in parameters if each["required"] and not each["schema"].get("examples")] == []

    def test_bodies_in_json_have_an_example(self, operation: Operation) -> None:
        bodies = [operation.definition.get("requestBody", {}), *operation.definition["responses"].values()]
        for content in (body["content"][JSON] for body in bodies if JSON in body.get("content", {})):
            assert content["examples"]

    def test_every_input_is_bounded(self, operation: Operation) -> None:
        parameters = operation.definition.get("parameters", [])
        body = operation.definition.get("requestBody", {}).get("content", {}).get(JSON, {})
        inputs = {each["name"]: each["schema"] for each in parameters} | {"body": body.get("schema", {})}
        assert [fault for name, schema in inputs.items() for fault in unbounded(schema, name)] == []

    def test_each_error_has_its_own_example(self, operation: Operation) -> None:
        for status, answer in operation.definition["responses"].items():
            if PROBLEM not in answer.get("content", {}):
                continue
            assert answer["content"][PROBLEM]["schema"] == {"$ref": "#/components/schemas/Problem"}
            codes = re.findall(r"`([a-z_]+)`: ", answer["description"])
            shown = answer["content"][PROBLEM]["examples"]
            assert shown == {code: {"$ref": f"#/components/examples/{code}"} for code in codes}
            for code in codes:
                value = document()["components"]["examples"][code]["value"]
                assert (value["code"], value["status"]) == (code, int(status))
                assert value["type"] == f"{default_settings().app.errors_url}#{code}"
                assert value.keys() > {"title", "detail", "request_id"}


def error_calls() -> Iterator[tuple[type[IgniteError], set[str]]]:
    """Return the error classes that the source calls, each with the members that the call adds to the problem."""
    by_name = {error.__name__: error for error in error_types()}
    for file in (PROJECT_ROOT / "src" / "fastapi_ignite").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in by_name:
                names = {keyword.arg for keyword in node.keywords if keyword.arg and keyword.arg != "headers"}
                yield by_name[node.func.id], names


def test_the_examples_of_errors_have_all_members_that_the_program_sends() -> None:
    calls = list(error_calls())
    assert any(names for _, names in calls)
    documented = document()["components"]["examples"]
    missing = {
        error.code: unshown
        for error, names in calls
        if error.code in documented and (unshown := names - documented[error.code]["value"].keys() - UNSHOWN_MEMBERS)
    }
    assert missing == {}


def properties(kind: str) -> Iterator[tuple[str, str, bool, Mapping[str, Any]]]:
    """Return the properties of all models of requests or answers: model, name, whether it is required, and schema."""
    parts = {
        "requests": [operation.definition.get("requestBody") for operation in operations()],
        "answers": [operation.definition["responses"] for operation in operations()],
    }
    schemas = document()["components"]["schemas"]
    for model in sorted(reached(parts[kind], schemas)):
        for name, schema in schemas[model].get("properties", {}).items():
            yield model, name, name in schemas[model].get("required", ()), schema


def test_a_request_may_leave_out_what_has_a_default() -> None:
    """`openapi-typescript` would make a property with a `default` required."""
    sent = {f"{model}.{name}": (required, schema) for model, name, required, schema in properties("requests")}
    assert [name for name, (_, schema) in sent.items() if "default" in schema] == []
    required, limit = sent["SearchRequest.limit"]
    assert not required
    assert limit["description"].endswith("Default: `10`.")


def test_an_answer_has_all_properties_of_its_model() -> None:
    answered = {f"{model}.{name}": required for model, name, required, _ in properties("answers")}
    assert answered["Problem.request_id"]
    assert [name for name, required in answered.items() if not required] == []


def models_with_examples(base: type[BaseModel] = BaseModel) -> Iterator[tuple[type[BaseModel], Any]]:
    for model in base.__subclasses__():
        extra = model.model_config.get("json_schema_extra")
        if model.__module__.startswith("fastapi_ignite.") and isinstance(extra, dict):
            examples = extra["examples"]
            assert isinstance(examples, list)
            yield from ((model, example) for example in examples)
        yield from models_with_examples(model)


def test_examples_are_what_the_models_take_and_give() -> None:
    document()  # imports every model
    pairs = list(models_with_examples())
    assert pairs
    for model, example in pairs:
        assert model.model_validate(example).model_dump(mode="json", exclude_unset=True) == example, model
