"""Tests that the committed OpenAPI document is current, and complete for readers and client generators."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from pydantic import BaseModel

from support.doc_pages import page
from support.http_contract import PROBLEM, Operation, document, operations

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


def unbounded(schema: Mapping[str, Any], place: str) -> Iterator[str]:
    """Return the places of an input that have no upper bound."""
    for choice in choices(schema):
        kind = choice.get("type")
        if kind == "string" and not (choice.keys() & {"maxLength", "enum", "const"}):
            yield from [place] * (choice.get("format") not in BOUNDED_FORMATS)
        elif kind in {"integer", "number"} and not {"minimum", "maximum"} <= choice.keys():
            yield place
        elif kind == "array":
            yield from [place] * ("maxItems" not in choice)
            yield from unbounded(choice["items"], f"{place}[]")
        elif kind == "object":
            for name, field in choice.get("properties", {}).items():
                yield from unbounded(field, f"{place}.{name}")


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

    def test_errors_are_problems(self, operation: Operation) -> None:
        for status, answer in operation.definition["responses"].items():
            if status.startswith("4"):
                assert answer["content"] == {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}


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
