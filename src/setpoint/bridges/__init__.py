"""Bridges to the interfaces of other libraries. Each module imports its library, which an extra installs."""
