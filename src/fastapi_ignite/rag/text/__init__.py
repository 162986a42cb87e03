"""Text as the engines read it: terms, sentences, tokens and chunks."""
