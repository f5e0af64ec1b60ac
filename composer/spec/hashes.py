"""The hash that tells whether a container still is what its service asks for."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOT_PART_OF_A_CONTAINER = ("build", "pull_policy", "scale", "depends_on", "profiles", "develop")


def service_config_hash(service: Mapping[str, Any]) -> str:
    """64 hex digits over a canonical service, without what does not change its containers.

    Left out are build, pull_policy, scale, deploy.replicas, depends_on, profiles and develop: to change one
    of them recreates nothing. The caller replaces `service:` references by container ids first.
    """
    document = {key: value for key, value in service.items() if key not in _NOT_PART_OF_A_CONTAINER}
    if deploy := document.get("deploy"):
        document["deploy"] = {key: value for key, value in deploy.items() if key != "replicas"}
    return config_hash(document)


def config_hash(document: Any) -> str:
    """64 hex digits over any JSON value; the order of keys does not count."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
