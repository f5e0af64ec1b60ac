"""The virtual machine: stock Debian 12 kernel, systemd, cgroup v2 only."""
