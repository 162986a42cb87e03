"""The client of OpenAI-compatible servers that both engines use."""
