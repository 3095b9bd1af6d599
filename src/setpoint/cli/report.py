"""`setpoint report EXPERIMENT`: regenerate the reports from the result files, and print one."""

import argparse
from pathlib import Path

from setpoint.cli.options import add_json, add_workspace, one_of, print_json, workspace_of

SUFFIXES = {"text": ".txt", "markdown": ".md", "html": ".html", "latex": ".tex"}
FIGURES = ("svg", "pdf", "png")
"""Formats whose files are written, and their paths printed."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("experiment", metavar="EXPERIMENT", help="id of the experiment")
    parser.add_argument(
        "--format",
        type=one_of(*SUFFIXES, *FIGURES),
        default="text",
        metavar="FORM",
        help="what to print: text (default), markdown, html or latex; svg, pdf or png: the paths of the figures, drawn "
        "in that format (latex includes pdf)",
    )
    parser.add_argument("--no-figures", action="store_true", help="skip the image files (faster)")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="correct for all families of tests together: the significance level bounds the rate of any false finding",
    )
    parser.add_argument("--open", action="store_true", help="open the HTML report in a browser")
    add_json(parser)
    add_workspace(parser)


def run(args: argparse.Namespace) -> int:
    """Write the reports and print one of them."""
    from setpoint.experiments.running.lease import lease_holder
    from setpoint.experiments.running.status import no_experiment
    from setpoint.records.plan import plan_path
    from setpoint.reports import read_claims_json, write_reports
    from setpoint.reports.files import seen_from

    workspace = workspace_of(args)
    experiment = workspace.experiment(args.experiment)
    if not plan_path(experiment).exists():
        raise no_experiment(workspace, args.experiment)
    running = lease_holder(experiment) is not None
    report = write_reports(experiment, figures=_formats(args), running=running, strict=args.strict)
    if args.json:
        print_json(read_claims_json(report))
        return 0
    if args.open:
        _open(report.with_name("report.html"))
        return 0
    if args.format in FIGURES:
        print("\n".join(str(path) for path in sorted(report.parent.glob(f"figures/*.{args.format}"))))
        return 0
    shown = report.with_suffix(SUFFIXES[args.format])
    text = shown.read_text(encoding="utf-8")
    print(seen_from(Path(), text, workspace.root) if args.format == "text" else text, end="")
    return 0


def _formats(args: argparse.Namespace) -> tuple[str, ...]:
    """Return the formats of the figure files: SVG for the reports, and what the printed format needs."""
    if args.no_figures:
        return ()
    return ("svg", *{"latex": ("pdf",), "pdf": ("pdf",), "png": ("png",)}.get(args.format, ()))


def _open(page: Path) -> None:
    """Open `page` in a browser, and print its path."""
    import sys
    import webbrowser

    print(page)
    if not webbrowser.open(page.resolve().as_uri()):
        print("setpoint: no browser found; open the file manually", file=sys.stderr)
