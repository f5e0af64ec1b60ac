"""`composer config`: check the Compose files and print what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context
    from composer.spec import LoadedProject

HELP = "Check the Compose files and print what they mean"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("selected", nargs="*", metavar="SERVICE", help="only these services and what they depend on")
    add("--format", choices=["yaml", "json"], default="", help="how to print it (default yaml)")
    add("-q", "--quiet", action="store_true", help="print nothing, only check")
    add("-o", "--output", default="", metavar="FILE", help="write to a file")
    for name, text in (
        ("services", "print the names of the services, one a line"),
        ("volumes", "print the names of the volumes, one a line"),
        ("networks", "print the names of the networks, one a line"),
        ("models", "print the names of the models, one a line"),
        ("images", "print the names of the images, one a line"),
        ("profiles", "print the profiles, one a line"),
        ("variables", "print the variables that the files use"),
        ("environment", "print the environment that variables are taken from"),
    ):
        add(f"--{name}", action="store_true", help=text)
    add("--hash", default="", metavar="SERVICES", help="print the configuration hash of services, * is all")
    for name, text in (
        ("no-interpolate", "leave variables in place"),
        ("no-normalize", "leave out what files mean without saying it"),
        ("no-path-resolution", "leave paths relative"),
        ("no-consistency", "do not check that services, networks and volumes exist"),
        ("no-env-resolution", "leave env files where they are"),
        ("resolve-image-digests", "replace image tags by digests"),
        ("lock-image-digests", "print only an override file that pins image digests"),
    ):
        add(f"--{name}", action="store_true", help=text)


def run(args: argparse.Namespace, context: Context) -> int:
    """Load and print."""
    if args.variables:
        from composer.cli.commands.config_variables import run as run_variables

        return run_variables(args, context)
    listing = args.services or args.volumes or args.networks or args.models or args.images or args.profiles
    loaded = context.load(
        tuple(args.selected),
        interpolate=not args.no_interpolate,
        normalize=not args.no_normalize,
        resolve_paths=not args.no_path_resolution,
        consistency=not args.no_consistency,
        resolve_environment=not args.no_env_resolution,
    )
    if args.quiet:
        return 0
    if args.environment:
        text = "".join(f"{key}={value}\n" for key, value in sorted(loaded.environment.items()))
    elif args.hash:
        text = _hashes(loaded, args.hash)
    elif listing:
        text = _listing(args, loaded)
    else:
        text = _document(args, loaded, context)
    if args.output:
        from pathlib import Path

        from composer.state.files import write_atomic

        write_atomic(Path(context.cwd) / args.output, text.encode())
    else:
        context.print(text, end="")
    return 0


def _document(args: argparse.Namespace, loaded: LoadedProject, context: Context) -> str:
    from composer.spec import output

    if args.no_interpolate:
        document: Any = dict(loaded.document)
    else:
        document = output.printable(loaded.document)
    if args.resolve_image_digests or args.lock_image_digests:
        from composer.cli.commands.config_digests import pin

        document = pin(document, context, lock=args.lock_image_digests)
    if not args.no_interpolate:
        document = output.shaped(document, json_shape=args.format == "json")
    text = output.to_json(document) + "\n" if args.format == "json" else output.to_yaml(document)
    # every $ is doubled, in keys too, so that the output can be read again
    return text if args.no_interpolate else text.replace("$", "$$")


def _listing(args: argparse.Namespace, loaded: LoadedProject) -> str:
    document = loaded.document
    services = document["services"]
    lines: list[str] = []
    if args.services:
        lines += services
    elif args.images:
        lines += [service.get("image") or f"{loaded.name}-{name}" for name, service in services.items()]
    elif args.profiles:
        everything = [*services.values(), *loaded.disabled.values()]
        lines += sorted({profile for service in everything for profile in service.get("profiles") or ()})
    else:
        kind = "volumes" if args.volumes else "networks" if args.networks else "models"
        lines += document.get(kind) or ()
    return "".join(f"{line}\n" for line in lines)


def _hashes(loaded: LoadedProject, wanted: str) -> str:
    from composer.errors import unknown_service
    from composer.spec.hashes import service_config_hash

    services = loaded.document["services"]
    names = sorted(services) if wanted == "*" else wanted.split(",")
    for name in names:
        if name not in services:
            raise unknown_service(name, services)
    return "".join(f"{name} {service_config_hash(services[name])}\n" for name in names)
