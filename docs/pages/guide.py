"""How to read a report, from the texts that every report contains."""

from pages.markdown import page
from setpoint.reports.guide import TOPICS

ABOUT = """\
# How to read a report

For a reader who knows a t-test. Every HTML report contains these paragraphs, and each of its answers links to the one
that explains it. [Statistics](statistics.md) has the methods with their sources."""


def guide() -> str:
    """One section for each topic."""
    return page(ABOUT, *(f"\n## {topic.title}\n\n{topic.text}" for topic in TOPICS))
