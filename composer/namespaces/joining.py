"""Joining and leaving networks: addresses, the shim's part, /etc/hosts, and what is written down."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from composer.errors import ConflictError
from composer.namespaces.network.files import edit_hosts, own_lines
from composer.namespaces.shim.state import ACTIVE
from composer.state.files import write_json
from composer.values import to_json

if TYPE_CHECKING:
    from composer.engine import Attachment, ContainerConfig
    from composer.namespaces.engine import NamespaceEngine


async def join(engine: NamespaceEngine, container_id: str, attachment: Attachment) -> None:
    """See `Engine.connect`."""
    config = engine.store.config(container_id)
    if any(present.network == attachment.network for present in config.attachments):
        raise ConflictError(f"container {config.name} is on this network already")
    config = replace(config, attachments=(*config.attachments, attachment))
    setups = engine.network_manager.reserve(config, starting=True)
    setup = next(entry for entry in setups if entry.network == attachment.network)
    try:
        if engine.store.state(container_id).status in ACTIVE:
            link = engine.link(container_id)
            await link.request("connect", setup=setup.to_dict(), endpoint=to_json(setup.endpoint()))
            edit_hosts(engine.paths.container(container_id) / "hosts", own_lines(config, [setup]), ())
    except BaseException:
        engine.network_manager.release(container_id, attachment.network)
        raise
    _write_config(engine, config)


async def leave(engine: NamespaceEngine, container_id: str, network: str) -> None:
    """See `Engine.disconnect`."""
    config = engine.store.config(container_id)
    kept = tuple(entry for entry in config.attachments if entry.network != network)
    config = replace(config, attachments=kept)
    state = engine.store.state(container_id)
    if state.status in ACTIVE:
        await engine.link(container_id).request("disconnect", network=network)
        left = [place for place in state.endpoints if place.network == network]
        edit_hosts(engine.paths.container(container_id) / "hosts", (), own_lines(config, left))
    engine.network_manager.release(container_id, network)
    if engine.store.state(container_id).status in ACTIVE:
        setups = [setup.to_dict() for setup in engine.network_manager.reserve(config)]
        await engine.link(container_id).request("gateways", setups=setups)
    _write_config(engine, config)


def _write_config(engine: NamespaceEngine, config: ContainerConfig) -> None:
    write_json(engine.paths.container(config.id) / "config.json", to_json(config), mode=0o600)
