"""Measures search and answers on collections with judgements, over the HTTP API (`cli.py eval`)."""
