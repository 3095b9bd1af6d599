"""The command line: one small module for each verb, imported only when it is called."""
