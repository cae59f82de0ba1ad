"""The commands of ``skt`` and how their errors end: one line on stderr and an exit code."""

import os
import sys
from collections.abc import Sequence

import typer

from skt_crowd.cli.bench import bench
from skt_crowd.cli.count import count
from skt_crowd.cli.demo import demo
from skt_crowd.cli.doctor import doctor
from skt_crowd.cli.efficiency import efficiency
from skt_crowd.cli.evaluate import evaluate
from skt_crowd.cli.import_weights import import_weights
from skt_crowd.cli.lists import protocols, recipes
from skt_crowd.cli.prepare import prepare
from skt_crowd.cli.reproduce import reproduce
from skt_crowd.cli.train import distill, report, train
from skt_crowd.errors import SktError

HELP = """
Count crowds with small networks that learned from large ones (Structured Knowledge Transfer).

A first look, without any data:  `skt demo --quick --output demo-run`

With annotated images:  `skt train` a teacher, `skt distill` a student 16 times smaller from it, `skt evaluate`
both, and `skt count` people with the student. Every command shows an example with `--help`.
"""


app = typer.Typer(
    name="skt",
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

app.command(rich_help_panel="Train")(train)

app.command(rich_help_panel="Train")(distill)

app.command(rich_help_panel="Train")(recipes)

app.command(rich_help_panel="Train")(prepare)

app.command(rich_help_panel="Use")(evaluate)

app.command(rich_help_panel="Use")(count)

app.command(rich_help_panel="Use")(protocols)

app.command(rich_help_panel="Use")(report)

app.command("import", rich_help_panel="Use")(import_weights)

app.command(rich_help_panel="Look around")(demo)

app.command(rich_help_panel="Look around")(doctor)

app.command(rich_help_panel="Look around")(bench)

app.command(rich_help_panel="Look around")(efficiency)

app.command(rich_help_panel="Look around")(reproduce)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``skt`` and exit: 0 done, 1 something outside is wrong, 2 the request is wrong, 130 interrupted."""
    try:
        code = app(
            args=None if arguments is None else list(arguments), prog_name="skt", standalone_mode=False
        )
        sys.exit(code if isinstance(code, int) else 0)
    except SktError as error:
        _stop(str(error), error.exit_code)
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        _stop(": ".join(str(part) for part in (error.filename, error.strerror or error) if part), 1)
    except (KeyboardInterrupt, typer.Abort):
        _stop("interrupted", 130)
    except Exception as error:
        # Errors of the command line itself. Their class moved between versions of typer; this method did not.
        explain = getattr(error, "format_message", None)
        if explain is None:
            raise
        _stop(f"{explain()} (skt --help shows what there is)", getattr(error, "exit_code", 2))


def _stop(message: str, code: int) -> None:
    print(f"skt: error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
