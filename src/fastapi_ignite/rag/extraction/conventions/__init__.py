"""The rules that are the same in all formats: how a document's features become text and structure."""
