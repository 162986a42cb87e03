"""Answers that a model writes on any OpenAI-compatible server. Each of its quotes is found in the sources."""
