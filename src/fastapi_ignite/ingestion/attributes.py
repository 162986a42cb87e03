"""Validates the attributes that callers give to files, with OpenAI's limits."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any, Final, TypeAlias

from pydantic import (
    AfterValidator,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from fastapi_ignite.http.fields import no_nul
from fastapi_ignite.http.json_text import is_storable
from fastapi_ignite.http.problems import reported_errors
from fastapi_ignite.ingestion.errors import InvalidAttributesError
from fastapi_ignite.projects.schemas import MOST_KEYS, MetadataKey

LARGEST_INTEGER: Final = 2**63 - 1
AttributeText: TypeAlias = Annotated[StrictStr, StringConstraints(max_length=512), AfterValidator(no_nul)]
# a larger integer becomes a double
AttributeNumber: TypeAlias = (
    Annotated[StrictInt, Field(ge=-LARGEST_INTEGER, le=LARGEST_INTEGER)]
    | Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-sys.float_info.max, le=sys.float_info.max)]
)
AttributeValue: TypeAlias = AttributeText | StrictBool | AttributeNumber
Attributes: TypeAlias = Annotated[
    dict[MetadataKey, AttributeValue],
    Field(
        max_length=MOST_KEYS,
        description="At most 16 keys of 1 to 64 characters, with strings of at most 512 characters, numbers or "
        "booleans.",
        examples=[{"department": "support", "year": 2024, "public": True}],
    ),
]
FIELD: Final = "attributes"
_ATTRIBUTES: Final = TypeAdapter[dict[str, Any]](Attributes)


def read_attributes(field: bytes) -> dict[str, Any]:
    """Return the attributes that a form field has as JSON. Without a text, as forms send it, there are none.

    Raises:
        InvalidAttributesError: It is no JSON, or not within the limits.
    """
    if not field.strip():
        return {}
    try:
        value = json.loads(field)
    except (ValueError, RecursionError):
        raise InvalidAttributesError("The form field 'attributes' must be a JSON object.") from None
    if not is_storable(value):
        raise InvalidAttributesError("NUL characters and lone surrogates are not allowed in attributes.")
    try:
        return _ATTRIBUTES.validate_python(value)
    except ValidationError as error:
        errors = reported_errors([{**each, "loc": (FIELD, *each["loc"])} for each in error.errors()])
        raise InvalidAttributesError(f"{'.'.join(errors[0]['loc'])}: {errors[0]['msg']}", errors=errors) from None
