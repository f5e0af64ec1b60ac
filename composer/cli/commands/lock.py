"""`composer lock`: write down which images the project means today."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.errors import NotFoundError, RegistryError, SpecError

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context
    from composer.registry.settings import Settings

HELP = "Write down the digests of the project's images"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--check", action="store_true", help="only say whether the lock is up to date")
    parser.add_argument("-q", "--quiet", action="store_true", help="do not print the digests")


def run(args: argparse.Namespace, context: Context) -> int:
    """Ask the registries, and write `compose.lock` beside the first Compose file."""
    from composer.images.lockfile import lock_path, names_to_lock, read_lock, write_lock
    from composer.registry.settings import Settings

    loaded = context.load(locked=False)
    files = [file for file in loaded.config_files if file != "-"]
    if not files:
        raise SpecError("a project from standard input has no place for a lock file")
    path = lock_path(files[0])
    settings = Settings.load(context.environ)
    every = {**loaded.document.get("services", {}), **loaded.disabled}
    names = names_to_lock(every)
    digests = {name: digest_now(name, settings, context, path=place) for name, place in names.items()}
    changed = digests != read_lock(path)
    if args.check:
        context.print("up to date" if not changed else f"{path} is out of date")
        return int(changed)
    write_lock(path, digests)
    if not args.quiet:
        for name, digest in sorted(digests.items()):
            context.print(f"{name}@{digest}")
    return 0


def digest_now(name: str, settings: Settings, context: Context, *, path: str) -> str:
    """The digest that the registry has for *name* today; without the registry, the one it was pulled by.

    Args:
        name: The image.
        settings: Of registries.
        context: Is warned when the registry could not be asked.
        path: What names the image, for errors.

    Raises:
        RegistryError: The registry cannot be asked, and the image was not pulled from it either.
        NotFoundError: It has no such image.
    """
    from composer.images.manifests import ACCEPT
    from composer.images.reference import parse
    from composer.images.store import Store, digest_of
    from composer.registry.client import Registry

    parsed = parse(name)
    registry = Registry(parsed.domain, settings=settings)
    try:
        tag = parsed.tag or "latest"
        found = registry.manifest_digest(parsed.path, tag, ACCEPT)
        return found or digest_of(registry.manifest(parsed.path, tag, ACCEPT).data)
    except RegistryError as error:
        image = Store(context.paths).resolve(parsed.canonical)
        for known in image.repo_digests if image else ():
            if known.startswith(f"{parsed.familiar_repository}@"):
                context.warn(f"{name}: taking the digest it was pulled by, because {error.message}")
                return known.rpartition("@")[2]
        error.path = error.path or path
        raise
    except NotFoundError as error:
        error.path = error.path or path
        raise
    finally:
        registry.close()
