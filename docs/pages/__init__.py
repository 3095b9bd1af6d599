"""The pages that follow from the code, one function each, as Markdown."""
