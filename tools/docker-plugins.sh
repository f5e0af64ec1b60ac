#!/bin/bash
# Fetch docker compose 2 and buildx for the benchmarks: Debian's packages from sid, unpacked below .cache/ and not
# installed. Prints the directory with the two programs. The system's own package sources stay as they are.
set -euo pipefail
cd "$(dirname "$0")/.."
plugins=$PWD/.cache/docker-plugins/usr/libexec/docker/cli-plugins
if [ ! -x "$plugins/docker-compose" ] || [ ! -x "$plugins/docker-buildx" ]; then
    apt=$PWD/.cache/apt-sid
    mkdir -p "$apt"/{lists/partial,archives/partial,sources.list.d,preferences.d}
    : >"$apt/status"
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -v security | head -n 1)
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" >"$apt/sources.list"
    options=(-q -o "Dir::Etc::SourceList=$apt/sources.list" -o "Dir::Etc::SourceParts=$apt/sources.list.d"
        -o "Dir::Etc::PreferencesParts=$apt/preferences.d"
        -o "Dir::State::Lists=$apt/lists" -o "Dir::State::Status=$apt/status" -o "Dir::Cache=$apt"
        -o "Dir::Cache::Archives=$apt/archives" -o APT::Get::List-Cleanup=0 -o APT::Sandbox::User=root
        -o Acquire::Languages=none)
    apt-get "${options[@]}" update >&2
    (cd "$apt" && apt-get "${options[@]}" download docker-compose docker-buildx >&2)
    rm -rf .cache/docker-plugins
    for package in "$apt"/docker-*.deb; do
        dpkg-deb -x "$package" .cache/docker-plugins
    done
    rm -rf "$apt"
    if [ ! -x "$plugins/docker-compose" ] || [ ! -x "$plugins/docker-buildx" ]; then
        echo "docker-plugins: the packages hold no programs in $plugins" >&2
        exit 1
    fi
fi
echo "$plugins"
