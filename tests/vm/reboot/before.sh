#!/bin/bash
# Runs in the virtual machine before it reboots: a project is up, and its unit is enabled.
set -e
cd "$(dirname "$0")"
composer image import ../../../.cache/rootfs/busybox.tar busybox:latest
composer up -d
composer stop stopped
composer generate systemd >/etc/systemd/system/composer-boot.service
systemctl daemon-reload
systemctl enable --quiet composer-boot.service
composer ps -a
