"""Retrieval and answers at OpenAI: hosted vector stores, and Responses with file search."""
