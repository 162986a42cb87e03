"""This package simulates OpenAI's service over real HTTP, for tests and for development without a key.

It has the published shapes under `/v1`, answers from the text of the uploaded files, and fails on command (`/_sim`).
"""
