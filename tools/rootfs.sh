#!/bin/bash
# Make a root file system as a tar archive, once; a second call finds it and returns at once.
#
#   tools/rootfs.sh busybox              .cache/rootfs/busybox.tar        Debian's static busybox, 1 second
#   tools/rootfs.sh debian               .cache/rootfs/debian.tar         Debian 12 "slim", 20 seconds
#   tools/rootfs.sh shop-db PACKAGE...   .cache/rootfs/shop-db.tar        the same with packages
#
# Prints the path of the archive. Debian's packages come from where mmdebstrap finds them on its own, or from
# COMPOSER_DEBIAN_MIRROR.
set -euo pipefail
cd "$(dirname "$0")/.."
name=$1
shift
mkdir -p .cache/rootfs
tar=$PWD/.cache/rootfs/$name.tar

if [ -e "$tar" ]; then
    echo "$tar"
    exit
fi

# Two callers at once (test workers) wait for each other instead of both building.
exec 9>".cache/rootfs/$name.lock"
flock 9
if [ -e "$tar" ]; then
    echo "$tar"
    exit
fi
part=$(mktemp -d -p .cache/rootfs "$name.XXXXXX")
trap 'rm -rf "$part"' EXIT
part=$PWD/$part

busybox_tree() {
    local applet root=$part/root
    mkdir -p "$root"/{bin,sbin,usr/bin,usr/sbin,etc,root,home,var/www,var/spool/cron,proc,sys,dev}
    install -m 755 /bin/busybox "$root/bin/busybox"
    /bin/busybox --list-full | while read -r applet; do
        [ "$applet" = bin/busybox ] || ln "$root/bin/busybox" "$root/$applet" 2>/dev/null || true
    done
    install -d -m 1777 "$root/tmp" "$root/var/tmp"
    printf '%s\n' root:x:0:0:root:/root:/bin/sh daemon:x:1:1:daemon:/usr/sbin:/bin/false \
        www-data:x:33:33:www-data:/var/www:/bin/false nobody:x:65534:65534:nobody:/home:/bin/false >"$root/etc/passwd"
    printf '%s\n' root:x:0: daemon:x:1: tty:x:5: wheel:x:10:root www-data:x:33: nogroup:x:65534: >"$root/etc/group"
    printf 'root:::::::\n' >"$root/etc/shadow"
    chmod 640 "$root/etc/shadow"
    tar --create --file "$part/out.tar" --directory "$root" --owner 0 --group 0 --sort name --mtime @0 .
}

debian_tree() {
    local include=() options=(--variant=minbase)
    [ $# -gt 0 ] && include=(--include "$(IFS=,; echo "$*")")
    # As in Docker's Debian images: packages start no services, and dpkg does not wait for the disk.
    # What debian:bookworm-slim leaves out as well: manuals, translations, documentation but the licences.
    local glob
    for glob in '/usr/share/man/*' '/usr/share/locale/*' '/usr/share/doc/*' '/usr/share/info/*' \
        '/usr/share/lintian/*' '/usr/share/groff/*' '/usr/share/linda/*'; do
        options+=("--dpkgopt=path-exclude=$glob")
    done
    options+=('--dpkgopt=path-include=/usr/share/doc/*/copyright')
    local status=0
    mmdebstrap "${options[@]}" "${include[@]}" \
        --aptopt='APT::Install-Recommends "false"' \
        --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/var/log/*.log "$1"/var/log/apt' \
        --customize-hook='mkdir -p "$1/var/lib/apt/lists/partial" "$1/var/cache/apt/archives/partial"' \
        --customize-hook='echo force-unsafe-io >"$1/etc/dpkg/dpkg.cfg.d/unsafe-io"' \
        --customize-hook='echo "APT::Install-Suggests \"false\";" >"$1/etc/apt/apt.conf.d/no-suggests"' \
        --customize-hook='rm -f "$1/etc/resolv.conf" "$1/etc/hostname"; : >"$1/etc/machine-id"' \
        bookworm "$part/out.tar" ${COMPOSER_DEBIAN_MIRROR:+"$COMPOSER_DEBIAN_MIRROR"} >"$part/log" 2>&1 || status=$?
    if [ $status != 0 ]; then
        tail -n 20 "$part/log" >&2
        echo "rootfs: mmdebstrap could not make $name" >&2
        exit 1
    fi
    # Not by a hook: mmdebstrap removes its own file of this name at the end.
    mkdir -p "$part/more/usr/sbin"
    printf '#!/bin/sh\nexit 101\n' >"$part/more/usr/sbin/policy-rc.d"
    chmod 755 "$part/more/usr/sbin/policy-rc.d"
    tar --append --file "$part/out.tar" --directory "$part/more" --owner 0 --group 0 ./usr/sbin/policy-rc.d
}

echo "rootfs: making $name" >&2
if [ "$name" = busybox ]; then busybox_tree; else debian_tree "$@"; fi
mv "$part/out.tar" "$tar"
echo "$tar"
