"""Manifests and indexes, OCI and Docker schema 2: read strictly, written canonically.

See image-spec 1.1 `manifest.md` and `image-index.md`. Bytes that came from elsewhere are kept as they are.
"""

from __future__ import annotations

import json
from dataclasses import field
from typing import TYPE_CHECKING, Any

from composer.errors import ImageError
from composer.frozen import frozen
from composer.images.config import parse_document
from composer.images.platforms import Platform, normalise, rank
from composer.images.reference import is_digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"

INDEXES = (OCI_INDEX, DOCKER_LIST)
MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)
ACCEPT = (*INDEXES, *MANIFESTS)
_SCHEMA_1 = (
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
)
_LAYERS = (OCI_LAYER, DOCKER_LAYER, "application/vnd.oci.image.layer.nondistributable.v1.tar")
_FOREIGN = ("nondistributable", "rootfs.foreign")
_LAYERS_LIMIT = 500


@frozen
class Descriptor:
    """A reference to content by digest.

    Attributes:
        media_type: What it is.
        digest: `sha256:...`.
        size: Bytes.
        platform: For entries of an index, what it runs on; None means anything.
        annotations: Its annotations.
        urls: Where a foreign layer is to be had.
    """

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    urls: tuple[str, ...] = ()

    @property
    def is_foreign(self) -> bool:
        """Whether registries do not hold it (Windows base layers)."""
        return any(word in self.media_type for word in _FOREIGN)

    def to_json(self) -> dict[str, Any]:
        """As it stands in documents."""
        result: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.annotations:
            result["annotations"] = dict(self.annotations)
        if self.platform is not None:
            result["platform"] = {"architecture": self.platform.architecture, "os": self.platform.os}
            if self.platform.variant:
                result["platform"]["variant"] = self.platform.variant
        return result


@frozen
class Manifest:
    """One image: a configuration and layers, lowest first."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The canonical document."""
        document: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "config": self.config.to_json(),
            "layers": [layer.to_json() for layer in self.layers],
        }
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        return canonical(document)


@frozen
class Index:
    """Several images, usually one per platform."""

    media_type: str
    manifests: tuple[Descriptor, ...]

    def to_bytes(self) -> bytes:
        """The canonical document."""
        entries = [entry.to_json() for entry in self.manifests]
        return canonical({"schemaVersion": 2, "mediaType": self.media_type, "manifests": entries})

    def select(self, wanted: Platform) -> Descriptor:
        """The entry that runs best on *wanted*; entries without a platform run anywhere.

        Raises:
            ImageError: None does.
        """
        best: tuple[int, Descriptor] | None = None
        offered = []
        for entry in self.manifests:
            if entry.platform is None:
                score: int | None = 1000
            elif entry.platform.os == "unknown":
                continue  # an attestation
            else:
                offered.append(str(entry.platform))
                score = rank(entry.platform, wanted)
            if score is not None and (best is None or score < best[0]):
                best = (score, entry)
        if best is None:
            raise ImageError(
                f"there is no image for {wanted}", hint=f"it exists for {', '.join(offered) or 'no platform'}"
            )
        return best[1]


def canonical(document: Any) -> bytes:
    """JSON with sorted keys and no white space."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def parse_manifest(data: bytes, content_type: str = "") -> Manifest | Index:
    """Read a manifest or index.

    Args:
        data: The document.
        content_type: What the registry called it, or empty.

    Raises:
        ImageError: It is malformed, ambiguous, of schema 1, or not what *content_type* says.
    """
    document = parse_document(data, "manifest")
    declared = content_type.partition(";")[0].strip().lower()
    inner = document.get("mediaType") or ""
    if declared in _SCHEMA_1 or document.get("schemaVersion") == 1:
        raise ImageError(
            "the image has a schema 1 manifest, a format that was given up in 2017", hint="push it again"
        )
    if document.get("schemaVersion") != 2:
        raise ImageError("the manifest has no schemaVersion 2")
    if "manifests" in document and ("layers" in document or "config" in document):
        raise ImageError("the manifest claims to be an image and an index at the same time")
    if inner and declared in ACCEPT and inner != declared:
        raise ImageError(f"the manifest says that it is {inner!r}, the registry says {declared!r}")
    kind = inner or (declared if declared in ACCEPT else "")
    if not kind:
        kind = OCI_INDEX if "manifests" in document else OCI_MANIFEST
    if kind not in ACCEPT:
        raise ImageError(f"{str(kind)[:100]!r} is no kind of manifest that can be run")
    try:
        return _index(document, kind) if kind in INDEXES else _manifest(document, kind)
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise ImageError(f"the manifest is malformed: {error!r}") from error


def _index(document: dict[str, Any], kind: str) -> Index:
    if "manifests" not in document:
        raise ImageError("an index without manifests")
    return Index(kind, tuple(descriptor(entry) for entry in document["manifests"]))


def _manifest(document: dict[str, Any], kind: str) -> Manifest:
    if "config" not in document or "layers" not in document:
        raise ImageError("a manifest without config or layers")
    config = descriptor(document["config"])
    if config.media_type not in (OCI_CONFIG, DOCKER_CONFIG, "application/octet-stream", ""):
        raise ImageError(
            f"this is no container image: its config is {config.media_type!r}",
            hint="it may be a chart or another artifact",
        )
    layers = tuple(descriptor(entry) for entry in document["layers"])
    if len(layers) > _LAYERS_LIMIT:
        raise ImageError(f"the image has {len(layers)} layers, overlayfs takes {_LAYERS_LIMIT}")
    for layer in layers:
        check_layer_type(layer)
    return Manifest(kind, config, layers, document.get("annotations") or {})


def check_layer_type(layer: Descriptor) -> None:
    """Refuse what cannot be unpacked.

    Raises:
        ImageError: It is encrypted, foreign, or of an unknown type.
    """
    base = (
        layer.media_type.removesuffix("+gzip")
        .removesuffix("+zstd")
        .removesuffix(".gzip")
        .removesuffix(".zstd")
    )
    if base not in _LAYERS and base != "application/vnd.docker.image.rootfs.foreign.diff.tar":
        raise ImageError(f"layer {layer.digest[:19]} has the unknown type {layer.media_type!r}")


def descriptor(data: Mapping[str, Any]) -> Descriptor:
    """Read one descriptor.

    Raises:
        ImageError: Its digest or size is impossible.
    """
    digest, size = data["digest"], data["size"]
    if not isinstance(digest, str) or not is_digest(digest):
        raise ImageError(f"{str(digest)[:100]!r} is not a digest")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 53:
        raise ImageError(f"{digest[:19]} has the impossible size {size!r}")
    platform = data.get("platform")
    return Descriptor(
        str(data.get("mediaType") or ""),
        digest,
        size,
        normalise(
            str(platform.get("os") or ""),
            str(platform.get("architecture") or ""),
            str(platform.get("variant") or ""),
        )
        if platform
        else None,
        {str(key): str(value) for key, value in (data.get("annotations") or {}).items()},
        tuple(str(url) for url in data.get("urls") or ()),
    )


def choose(documents: Sequence[Descriptor], wanted: Platform) -> Descriptor:
    """`Index.select` over bare descriptors."""
    return Index(OCI_INDEX, tuple(documents)).select(wanted)
