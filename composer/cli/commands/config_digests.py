"""`composer config --resolve-image-digests` and `--lock-image-digests`: tags become digests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from composer.cli.commands.lock import digest_now

if TYPE_CHECKING:
    from composer.cli.context import Context


def pin(document: dict[str, Any], context: Context, *, lock: bool) -> dict[str, Any]:
    """*document* with every image that has no digest pinned to the one its registry has now.

    Args:
        document: The document to print.
        context: Gives registry settings.
        lock: Keep only the services' images: an override file that pins them.

    Raises:
        RegistryError: A registry cannot be asked, and the image was not pulled from it either.
        NotFoundError: A registry has no such image.
    """
    from composer.registry.settings import Settings

    settings = Settings.load(context.environ)
    known: dict[str, str] = {}
    services: dict[str, Any] = {}
    for name, service in (document.get("services") or {}).items():
        image = service.get("image")
        if image and "@" not in image:
            if image not in known:
                known[image] = digest_now(image, settings, context, path=f"services.{name}.image")
            image = f"{image}@{known[image]}"
        if not lock:
            services[name] = {**service, "image": image} if image else service
        elif image:
            services[name] = {"image": image}
    return {"services": services} if lock else {**document, "services": services}
