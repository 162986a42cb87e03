"""Tests that every table of a tenant is in its export, or is left out for a reason in `LEFT_OUT`."""

from __future__ import annotations

from fastapi_ignite.exports.sections import SECTIONS
from fastapi_ignite.models import metadata

LEFT_OUT = {
    "chunks": "computed from the files, and can be computed again",
    "document_parts": "computed from the files, and can be computed again",
    "documents": "computed from the files, and can be computed again",
    "exports": "the archives themselves, which are deleted after some days",
    "idempotency_keys": "hashes of keys, which are kept for half an hour",
    "provider_files": "how the service keeps files at its provider",
    "provider_stores": "how the service keeps files at its provider",
    "rag_indexes": "how the service searches a project",
    "storage_usage": "a sum over the table files",
    "term_stats": "computed from the files, and can be computed again",
    "uploads": "uploads in progress: each becomes a file or is deleted within an hour",
    "usage_counters": "a sum over the ledger for the current window",
    "usage_reservations": "requests in progress: each is settled or released within an hour",
}


def test_no_table_of_a_tenant_is_silently_absent() -> None:
    tables = {name for name, table in metadata.tables.items() if "tenant_id" in table.columns} | {"tenants"}
    exported = {section.table.name for section in SECTIONS}
    forgotten = tables - exported - LEFT_OUT.keys()
    assert forgotten == set(), "name a new table in exports/sections.py, or here with the reason"
    assert exported & LEFT_OUT.keys() == set()


def test_what_is_exported_exists() -> None:
    for section in SECTIONS:
        columns = {column.name for column in section.table.columns}
        assert columns <= set(metadata.tables[section.table.name].columns.keys())
