"""The files of an experiment, one typed owner each, used by writers and readers alike."""
