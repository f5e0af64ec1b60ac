"""The default engine: containers made directly from kernel namespaces, cgroups and overlayfs."""
