"""A server of the Model Context Protocol, with which agents read experiments and, within a budget, run them."""
