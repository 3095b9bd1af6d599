"""The kinds of claims: what each answers, what it is about, and what it rests on."""

from pages.markdown import page, table
from setpoint.analysis.data.claim import FORMS, ClaimKind, Status
from setpoint.docstrings import attribute_docstrings

ABOUT = """\
# Claims

Every sentence about a result comes from a claim. `experiment.claims()` returns them, `reports/claims.json` holds them,
and the report prints them. [Statistics](../explanation/statistics.md) says how they are tested."""

CLASSES = """
## Claim

```{eval-rst}
.. autoclass:: setpoint.analysis.data.claim.Claim
```

## Subjects

```{eval-rst}
.. automodule:: setpoint.analysis.data.subject
```

## Evidence

```{eval-rst}
.. automodule:: setpoint.analysis.data.evidence
```"""


def claims() -> str:
    """Kinds, statuses, subjects and forms of evidence."""
    questions, degrees = attribute_docstrings(ClaimKind), attribute_docstrings(Status)
    kinds = (
        [
            f"`{kind}`",
            questions[kind.name],
            " or ".join(f"`{each.__name__}`" for each in form.subjects if each is not type(None)) or "–",
            f"`{form.evidence.__name__}`",
        ]
        for kind, form in FORMS.items()
    )
    statuses = ([f"`{status}`", degrees[status.name]] for status in Status)
    lines = [ABOUT, "", "## Kinds", "", *table(["kind", "question", "subject", "evidence"], kinds)]
    lines += ["", "## Statuses", "", *table(["status", "meaning"], statuses)]
    return page(*lines, CLASSES)
