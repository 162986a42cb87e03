"""The stored documents, which both engines find, hide and prove quotes against."""
