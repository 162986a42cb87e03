"""A stand-in for OpenAI's service, over real HTTP: for tests, and for trying the openai engine without a key.

It speaks the published shapes under `/v1`, answers from the text of the uploaded files, and fails on command (`/_sim`).
Nothing of the product imports it; `cli.py openai-sim` starts it.
"""
