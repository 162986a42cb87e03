"""Defines the SQL of conditions on attributes of files. Statements take `AttributeCondition.parameters`."""

from __future__ import annotations

_CONDITION = "CAST(CAST(:path AS text) AS jsonpath), CAST(CAST(:variables AS text) AS jsonb)"
# the documents of a project that have a completed file which meets the condition, as an array
MATCHING_DOCUMENTS = f"matching_documents(:project_id, CAST(:keys AS text[]), {_CONDITION})"
# whether a row of `files` meets it
_VALUES = "to_jsonb(ARRAY(SELECT attributes -> key FROM unnest(CAST(:keys AS text[])) AS key))"
FILE_MATCHES = f"jsonb_path_match({_VALUES}, {_CONDITION}, true)"
