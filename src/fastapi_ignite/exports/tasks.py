"""The messages of exports. Arguments: tenant id, export id."""

from fastapi_ignite.infra.jobs import Job, Priority

EXPORT_TENANT = Job("exports.export_tenant", "exports", Priority.BULK, time_limit=6 * 3_600_000)
REMOVE_EXPORT = Job("exports.remove_export", "exports", Priority.BULK)
