"""`composer lock`: write down which images the project means today."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.errors import RegistryError, SpecError

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Write down the digests of the project's images"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--check", action="store_true", help="only say whether the lock is up to date")
    parser.add_argument("-q", "--quiet", action="store_true", help="do not print the digests")


def run(args: argparse.Namespace, context: Context) -> int:
    """Ask the registries, and write `compose.lock` beside the first Compose file."""
    from composer.images.lockfile import lock_path, read_lock, write_lock
    from composer.images.reference import parse
    from composer.registry.settings import Settings

    loaded = context.load(locked=False)
    files = [file for file in loaded.config_files if file != "-"]
    if not files:
        raise SpecError("a project from standard input has no place for a lock file")
    path = lock_path(files[0])
    settings = Settings.load(context.environ)
    digests: dict[str, str] = {}
    for service in loaded.document.get("services", {}).values():
        name = service.get("image")
        if not name or service.get("build") or "@" in name:
            continue
        parsed = parse(name)
        if parsed.familiar not in digests:
            digests[parsed.familiar] = _digest(parsed, settings, context)
    changed = digests != read_lock(path)
    if args.check:
        context.print("up to date" if not changed else f"{path} is out of date")
        return int(changed)
    write_lock(path, digests)
    if not args.quiet:
        for name, digest in sorted(digests.items()):
            context.print(f"{name}@{digest}")
    return 0


def _digest(parsed: object, settings: object, context: Context) -> str:
    from composer.images.manifests import ACCEPT
    from composer.images.reference import Reference
    from composer.images.store import Store, digest_of
    from composer.registry.client import Registry
    from composer.registry.settings import Settings

    assert isinstance(parsed, Reference)  # noqa: S101 - narrows what the lazy imports cannot say
    assert isinstance(settings, Settings)  # noqa: S101 - same
    registry = Registry(parsed.domain, settings=settings)
    try:
        tag = parsed.tag or "latest"
        found = registry.manifest_digest(parsed.path, tag, ACCEPT)
        return found or digest_of(registry.manifest(parsed.path, tag, ACCEPT).data)
    except RegistryError:
        # Without the registry the digest it was pulled by is as good.
        image = Store(context.paths).resolve(parsed.canonical)
        for known in image.repo_digests if image else ():
            if known.startswith(f"{parsed.familiar_repository}@"):
                return known.rpartition("@")[2]
        raise
    finally:
        registry.close()
