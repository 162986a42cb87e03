"""A multi-tenant FastAPI backend for AI products."""
