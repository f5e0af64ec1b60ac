"""Every attribute of a Compose file in the order in which it is shown, and how its value is converted.

`KEEP` marks attributes that are shown even when they are zero, false or empty; `ALWAYS` those that are shown
even when a file does not set them.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from composer.spec import convert as c


class Field(NamedTuple):
    """One attribute."""

    convert: Any
    keep: bool = False


class Struct(NamedTuple):
    """A mapping with known attributes. `always` gives values of attributes that are never left out."""

    fields: dict[str, Field]
    always: dict[str, Any]

    def order(self, value: Any) -> list[str]:
        """The keys of *value* that are attributes, and those shown always, in the order of the table."""
        fields = self.fields
        if len(value) * 4 > len(fields):
            return [key for key in fields if key in value or key in self.always]
        present = {*self.always, *(key for key in value if key in fields)}
        return sorted(present, key=list(fields).index) if len(present) > 1 else list(present)


class ListOf(NamedTuple):
    """A list of structures."""

    item: Struct


class MapOf(NamedTuple):
    """A mapping of structures by name; `null` values stay null."""

    item: Any


def _struct(always: dict[str, Any] | None = None, **kinds: Any) -> Struct:
    fields = {}
    for name, kind in kinds.items():
        keep = isinstance(kind, tuple) and not hasattr(kind, "_fields") and kind[1] == "keep"
        fields[name] = Field(kind[0] if keep else kind, keep)
    return Struct(fields, always or {})


def _keep(kind: Any) -> Any:
    return (kind, "keep")


_FILE_REFERENCE: Final = _struct(source=c.text, target=c.text, uid=c.text, gid=c.text, mode=_keep(c.mode))
_ULIMITS: Final = MapOf(c.ulimit)
_BUILD: Final = _struct(
    context=c.text,
    dockerfile=c.text,
    dockerfile_inline=c.text,
    entitlements=c.texts,
    args=c.variables,
    provenance=c.text,
    sbom=c.text,
    ssh=c.ssh,
    labels=c.labels,
    cache_from=c.texts,
    cache_to=c.texts,
    no_cache=c.boolean,
    no_cache_filter=c.texts,
    additional_contexts=c.labels,
    pull=c.boolean,
    extra_hosts=c.hosts,
    isolation=c.text,
    network=c.text,
    target=c.text,
    secrets=ListOf(_FILE_REFERENCE),
    shm_size=c.size,
    tags=c.texts,
    ulimits=_ULIMITS,
    platforms=c.texts,
    privileged=c.boolean,
)
_HOOK: Final = _struct(
    {"command": None},
    command=_keep(c.words),
    image=c.text,
    user=c.text,
    privileged=c.boolean,
    working_dir=c.text,
    environment=c.variables,
    per_replica=c.boolean,
)
_WATCH: Final = _struct(
    {"exec": {"command": None}},
    path=c.text,
    action=c.text,
    target=c.text,
    exec=_HOOK,
    include=c.texts,
    ignore=c.texts,
    initial_sync=c.boolean,
)
_WEIGHT_DEVICE: Final = _struct(path=c.text, weight=_keep(c.integer))
_THROTTLE: Final = _struct({"rate": "0"}, path=c.text, rate=_keep(c.size))
_BLKIO: Final = _struct(
    weight=c.integer,
    weight_device=ListOf(_WEIGHT_DEVICE),
    device_read_bps=ListOf(_THROTTLE),
    device_read_iops=ListOf(_THROTTLE),
    device_write_bps=ListOf(_THROTTLE),
    device_write_iops=ListOf(_THROTTLE),
)
_DEVICE_REQUEST: Final = _struct(
    capabilities=c.texts,
    driver=c.text,
    count=c.device_count,
    device_ids=c.texts,
    options=c.labels,
)
_RESOURCE: Final = _struct(
    cpus=c.number,
    memory=c.size,
    pids=c.integer,
    devices=ListOf(_DEVICE_REQUEST),
    generic_resources=ListOf(_struct(discrete_resource_spec=_struct(kind=c.text, value=_keep(c.integer)))),
)
_UPDATE: Final = _struct(
    parallelism=_keep(c.integer),
    delay=c.long_duration,
    failure_action=c.text,
    monitor=c.long_duration,
    max_failure_ratio=c.number,
    order=c.text,
)
_DEPLOY: Final = _struct(
    {"resources": {}, "placement": {}},
    mode=c.text,
    replicas=_keep(c.integer),
    labels=c.labels,
    update_config=_UPDATE,
    rollback_config=_UPDATE,
    resources=_struct(limits=_RESOURCE, reservations=_RESOURCE),
    restart_policy=_struct(
        condition=c.text, delay=_keep(c.duration), max_attempts=_keep(c.integer), window=_keep(c.duration)
    ),
    placement=_struct(
        constraints=c.texts, preferences=ListOf(_struct(spread=c.text)), max_replicas_per_node=c.integer
    ),
    endpoint_mode=c.text,
)
_VOLUME: Final = _struct(
    type=c.text,
    source=c.text,
    target=c.text,
    read_only=c.boolean,
    consistency=c.text,
    bind=_struct(selinux=c.text, propagation=c.text, create_host_path=_keep(c.opt_out), recursive=c.text),
    volume=_struct(labels=c.labels, nocopy=c.boolean, subpath=c.text),
    tmpfs=_struct(size=c.size, mode=c.integer),
    image=_struct(subpath=c.text),
)
SERVICE: Final = _struct(
    {"command": None, "entrypoint": None},
    profiles=c.texts,
    annotations=c.labels,
    attach=_keep(c.boolean),
    build=_BUILD,
    develop=_struct(watch=ListOf(_WATCH)),
    blkio_config=_BLKIO,
    cap_add=c.texts,
    cap_drop=c.texts,
    cgroup_parent=c.text,
    cgroup=c.text,
    cpu_count=c.integer,
    cpu_percent=c.number,
    cpu_period=c.integer,
    cpu_quota=c.integer,
    cpu_rt_period=c.integer,
    cpu_rt_runtime=c.integer,
    cpus=c.number,
    cpuset=c.text,
    cpu_shares=c.integer,
    command=_keep(c.words),
    configs=ListOf(_FILE_REFERENCE),
    container_name=c.text,
    credential_spec=_struct(config=c.text, file=c.text, registry=c.text),
    depends_on=MapOf(_struct(condition=c.text, restart=c.boolean, required=_keep(c.boolean))),
    deploy=_DEPLOY,
    device_cgroup_rules=c.texts,
    devices=ListOf(_struct(source=c.text, target=c.text, permissions=c.text)),
    dns=c.texts,
    dns_opt=c.texts,
    dns_search=c.texts,
    domainname=c.text,
    entrypoint=_keep(c.words),
    provider=_struct(type=c.text, options=c.provider_options),
    environment=c.variables,
    env_file=ListOf(_struct(path=c.text, required=_keep(c.opt_out), format=c.text)),
    expose=c.texts,
    external_links=c.texts,
    extra_hosts=c.hosts,
    group_add=c.texts,
    gpus=ListOf(_DEVICE_REQUEST),
    hostname=c.text,
    healthcheck=_struct(
        test=c.probe,
        timeout=_keep(c.duration),
        interval=_keep(c.duration),
        retries=_keep(c.integer),
        start_period=_keep(c.duration),
        start_interval=_keep(c.duration),
        disable=c.boolean,
    ),
    image=c.text,
    init=_keep(c.boolean),
    ipc=c.text,
    isolation=c.text,
    labels=c.labels,
    label_file=c.texts,
    links=c.texts,
    logging=_struct(driver=c.text, options=c.labels),
    mem_limit=c.size,
    mem_reservation=c.size,
    memswap_limit=c.size,
    mem_swappiness=c.size,
    mac_address=c.text,
    models=MapOf(_struct(endpoint_var=c.text, model_var=c.text)),
    network_mode=c.text,
    networks=MapOf(
        _struct(
            priority=c.integer,
            gw_priority=c.integer,
            aliases=c.texts,
            interface_name=c.text,
            ipv4_address=c.text,
            ipv6_address=c.text,
            link_local_ips=c.texts,
            mac_address=c.text,
            driver_opts=c.labels,
        )
    ),
    oom_kill_disable=c.boolean,
    oom_score_adj=c.integer,
    pid=c.text,
    pids_limit=c.integer,
    platform=c.text,
    ports=ListOf(
        _struct(
            name=c.text,
            mode=c.text,
            host_ip=c.text,
            target=c.integer,
            published=c.text,
            protocol=c.text,
            app_protocol=c.text,
        )
    ),
    privileged=c.boolean,
    pull_policy=c.text,
    read_only=c.boolean,
    restart=c.text,
    runtime=c.text,
    scale=_keep(c.integer),
    secrets=ListOf(_FILE_REFERENCE),
    security_opt=c.texts,
    shm_size=c.size,
    stdin_open=c.boolean,
    stop_grace_period=_keep(c.duration),
    stop_signal=c.text,
    storage_opt=c.labels,
    sysctls=c.labels,
    tmpfs=c.texts,
    tty=c.boolean,
    ulimits=_ULIMITS,
    use_api_socket=c.boolean,
    user=c.text,
    userns_mode=c.text,
    uts=c.text,
    volumes=ListOf(_VOLUME),
    volumes_from=c.texts,
    working_dir=c.text,
    pre_start=ListOf(_HOOK),
    post_start=ListOf(_HOOK),
    pre_stop=ListOf(_HOOK),
)
NETWORK: Final = _struct(
    {"ipam": {}},
    name=c.text,
    driver=c.text,
    driver_opts=c.labels,
    ipam=_struct(
        driver=c.text,
        config=ListOf(_struct(subnet=c.text, gateway=c.text, ip_range=c.text, aux_addresses=c.labels)),
        options=c.labels,
    ),
    external=c.boolean,
    internal=c.boolean,
    attachable=c.boolean,
    labels=c.labels,
    enable_ipv4=_keep(c.boolean),
    enable_ipv6=_keep(c.boolean),
)
VOLUME: Final = _struct(name=c.text, driver=c.text, driver_opts=c.labels, external=c.boolean, labels=c.labels)
FILE_OBJECT: Final = _struct(
    name=c.text,
    file=c.text,
    environment=c.text,
    content=_keep(c.text),
    external=c.boolean,
    labels=c.labels,
    driver=c.text,
    driver_opts=c.labels,
    template_driver=c.text,
)
MODEL: Final = _struct(name=c.text, model=c.text, context_size=c.integer, runtime_flags=c.texts)
PROJECT: Final = {
    "services": SERVICE,
    "networks": NETWORK,
    "volumes": VOLUME,
    "secrets": FILE_OBJECT,
    "configs": FILE_OBJECT,
    "models": MODEL,
}
