"""From files to claims: read an experiment, test what its frozen plan declared, and say what the data support.

statistics   estimators, tests and intervals as functions of arrays
data         an experiment's files as typed values, and the form of a claim
runs         claims about runs and configurations
factors      claims about swept parameters
arms         claims about arms: training strategies, specialist and universal models, transfer sources
overview     all claims about one experiment

Nothing here runs an experiment or writes a file.
"""
