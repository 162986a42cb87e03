"""Every table of a tenant is in its export, or is left out for a reason that stands here."""

from __future__ import annotations

from fastapi_ignite.exports.sections import SECTIONS
from fastapi_ignite.models import metadata

LEFT_OUT = {
    "chunks": "made from the files, and made again from them",
    "documents": "made from the files, and made again from them",
    "exports": "the archives themselves, which end after days",
    "idempotency_keys": "hashes of keys, for half an hour",
    "provider_files": "how the service keeps files at its provider",
    "provider_stores": "how the service keeps files at its provider",
    "rag_indexes": "how the service searches a project",
    "storage_usage": "a sum of what stands in files",
    "term_stats": "made from the files, and made again from them",
    "uploads": "in progress: gone or a file within the hour",
    "usage_counters": "the current window's sum of what stands in the ledger",
    "usage_reservations": "in progress: settled or released within the hour",
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
