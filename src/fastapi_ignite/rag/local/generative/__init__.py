"""Answers written by a model on any OpenAI-compatible server, each of its quotes found in the sources."""
