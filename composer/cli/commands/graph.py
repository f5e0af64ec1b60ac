"""`composer graph`: who waits for whom, as text, Graphviz or Mermaid."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Print the dependency graph of services"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--format", choices=["text", "dot", "mermaid", "json"], default="text", help="how to print it"
    )
    parser.add_argument("--full", action="store_true", help="draw also edges that follow from others")


def run(args: argparse.Namespace, context: Context) -> int:
    """Print it."""
    from composer import graph

    loaded = context.load()
    made = graph.Graph.of(loaded.project())
    if args.format == "json":
        import json

        from composer.values import to_json

        edges = [to_json(edge) for edge in made.edges]
        context.print(json.dumps({"services": list(made.order), "edges": edges}, indent=2))
    elif args.format == "dot":
        context.print(graph.to_dot(made, name=loaded.name, reduce=not args.full), end="")
    elif args.format == "mermaid":
        context.print(graph.to_mermaid(made, reduce=not args.full), end="")
    else:
        context.print(graph.to_text(made), end="")
    return 0
