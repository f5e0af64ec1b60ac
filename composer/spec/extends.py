"""`extends`: a service made from another one, in the same file or in another."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from composer.errors import SpecError, suggestion
from composer.spec import canonical, resolve
from composer.spec.discover import read_file
from composer.spec.merge import enforce_unicity, merge
from composer.spec.tree import Map, Path, copy_tree, spec_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from composer.spec.pipeline import Options, Scope

Trail = tuple[tuple[str, str], ...]
"""File and service of each step of a chain."""


def apply_extends(config: Map, path: str, scope: Scope, options: Options, resets: Sequence[Path]) -> None:
    """Resolve the `extends` of every service in *config*.

    Raises:
        SpecError: A base does not exist, a file is wrong, or services extend each other in a circle.
    """
    services = config.get("services")
    if services is None:
        return
    if not isinstance(services, dict):
        raise spec_error("services must be a mapping", config, ("services",))
    worker = _Extender(scope, options)
    for name in list(services):
        services[name] = worker.service(name, services, path, (), (tuple(resets),))


def _outdented(name: str) -> str:
    """The hint for a service that is called like an attribute of services."""
    from composer.spec.fields import SERVICE

    return f"indent it further: {name} is an attribute of a service" if name in SERVICE.fields else ""


class _Extender:
    """One pass over one document; files of bases are read once."""

    def __init__(self, scope: Scope, options: Options) -> None:
        self.scope = scope
        self.options = options
        self.files: dict[str, tuple[Any, tuple[Path, ...]]] = {}

    def service(
        self, name: str, services: Any, path: str, trail: Trail, post: tuple[tuple[Path, ...], ...]
    ) -> Any:
        """The service *name* with everything it inherits."""
        service = services[name]
        if service is None:
            return None
        if not isinstance(service, dict):
            raise spec_error(
                f"services.{name} must be a mapping",
                {"services": services},
                ("services", name),
                hint=_outdented(name),
            )
        extends = service.get("extends")
        if extends is None:
            return service
        where = ({"services": services}, ("services", name, "extends"))
        base_name, file = self.reference(name, extends, where)
        here = path
        if file is not None:
            services_of_base, further = self.base_file(name, base_name, file, where)
            post = (*post, further)
            path = os.path.normpath(os.path.join(self.scope.base, file))
        else:
            services_of_base = services
            if base_name not in services:
                raise spec_error(
                    f'cannot extend service "{name}" in {path}: service "{base_name}" not found',
                    *where,
                    hint=suggestion(base_name, services),
                )
        step = (path, base_name)
        if step in trail or step == (here, name):
            raise self.circle((*trail, step), where)
        base = self.service(base_name, services_of_base, path, (*trail, step), post)
        if base is None:
            return service
        source = copy_tree(base)
        holder = {"services": {name: source}}
        for resets in post:
            for reset in resets:
                _reset(holder, reset)
        merged = merge(holder["services"].get(name, Map()), service, ("services", name))
        merged.pop("extends", None)
        if isinstance(merged, Map):
            merged.place = getattr(service, "place", None)
        services[name] = merged
        return merged

    def reference(self, name: str, extends: Any, where: Any) -> tuple[str, str | None]:
        """Service and file that *extends* names."""
        if isinstance(extends, str):
            return extends, None
        if isinstance(extends, dict):
            base, file = extends.get("service"), extends.get("file")
            if not isinstance(base, str):
                raise spec_error(f"extends.{name}.service is required", *where, hint="add service:")
            if file is not None and not isinstance(file, str):
                raise spec_error(f"extends.{name}.file must be a string", *where)
            return base, file
        raise spec_error(f"services.{name}.extends must be a string or a mapping", *where)

    def base_file(self, name: str, base: str, file: str, where: Any) -> tuple[Any, tuple[Path, ...]]:
        """The services of another file, with paths that start from ours, and its resets."""
        from composer.spec.pipeline import prepare

        if file.startswith(("oci://", "git@", "git://", "ssh://", "https://", "http://", "github.com/")):
            raise spec_error(f"remote Compose files are not supported: {file}", *where)
        local = os.path.normpath(os.path.join(self.scope.base, file))
        if local not in self.files:
            model = Map()
            resets: list[Path] = []
            try:
                documents = read_file(local)
            except SpecError as error:
                if error.where is None:
                    raise spec_error(error.message, *where, hint="check extends.file") from None
                raise
            for document in documents:
                if document.root is None:
                    continue
                config = prepare(document, local, self.scope, self.options)
                config.pop("include", None)
                resets.extend(document.resets)
                model = merge(model, config)
                enforce_unicity(model)
                canonical.Canonical(model, self.options.warnings, lenient=not self.options.interpolate).run()
            relative = os.path.relpath(os.path.dirname(local), self.scope.base)
            resolve.resolve_paths(model, relative, self.options.home)
            self.files[local] = (model, tuple(resets))
        model, found = self.files[local]
        services = model.get("services")
        if services is None:
            raise spec_error(f'cannot extend service "{name}" in {local}: no services section', *where)
        if not isinstance(services, dict):
            raise spec_error(f'cannot extend service "{name}" in {local}: services must be a mapping', *where)
        if base not in services:
            raise spec_error(
                f'cannot extend service "{name}" in {file}: service "{base}" not found in {file}',
                *where,
                hint=suggestion(base, services),
            )
        return services, found

    def circle(self, trail: Trail, where: Any) -> SpecError:
        """The error for services that extend each other."""
        steps = "\n".join(
            f"  {'extends ' if index else ''}{name} in {file}" for index, (file, name) in enumerate(trail)
        )
        return spec_error(f"Circular reference:\n{steps}", *where, hint="remove one extends")


def _reset(holder: Any, path: Path) -> None:
    from composer.spec.pipeline import apply_resets

    apply_resets(holder, (path,))
