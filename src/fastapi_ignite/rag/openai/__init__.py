"""The engine that searches and answers at OpenAI, with hosted vector stores and Responses with file search."""
