"""Check the sentences of a draft against the results of an experiment."""
