#!/bin/sh
# Installs what the suites behind `npm test` need: every client of test/clients/ and what test/faults/ compiles and
# formats with, as Debian packages (as root only), and pinned Go programs.
#
# Safe to run again: what is there already is left alone, and then it takes under a second. No service is started. What
# cannot be had is named on stderr, and the suites that need it skip themselves.
set -eu

# crun, because podman runs nothing without cgroups on runc.
PACKAGES='docker.io containerd runc crun skopeo buildah podman iptables busybox-static openssl docker-registry
gcc libc6-dev e2fsprogs postgresql pgbouncer ceph-common ceph-mon ceph-osd radosgw'

# Tools that need a newer Go than Debian's; `name module@version`, one a line.
PROGRAMS='crane github.com/google/go-containerregistry/cmd/crane@v0.22.1
oras oras.land/oras/cmd/oras@v1.3.6
regctl github.com/regclient/regclient/cmd/regctl@v0.11.7
registry github.com/distribution/distribution/v3/cmd/registry@v3.1.2
versitygw github.com/versity/versitygw/cmd/versitygw@v1.8.0'

SEAWEEDFS=v0.0.0-20261109003541-7506e5f91cd6

# Also in tools.ts, which looks for the programs there.
BIN="${ENTREPOT_TEST_BIN:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/entrepot-test/bin}"
POLICY=/usr/sbin/policy-rc.d

missing_packages() {
  for package in $PACKAGES; do
    status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || printf '%s ' "$package"
  done
}

# The packages bring services that would listen, change the firewall and take over /var/lib: policy-rc.d forbids them.
forbid_services() {
  [ -e "$POLICY" ] && return
  trap 'rm -f "$POLICY"' EXIT
  trap 'exit 1' HUP INT TERM
  printf '#!/bin/sh\nexit 101\n' >"$POLICY"
  chmod 755 "$POLICY"
}

install_packages() {
  missing=$(missing_packages)
  [ -n "$missing" ] || return 0
  if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
    echo "not installed, needs root on Debian: $missing" >&2
    return 0
  fi
  forbid_services
  export DEBIAN_FRONTEND=noninteractive
  # A list that cannot be had does not take away what the others offer.
  apt-get update --quiet=2 || echo 'not every list of packages could be read' >&2
  # One by one: a package that this release does not have takes only its own suite away.
  for package in $missing; do
    apt-get install --yes --quiet=2 --no-install-recommends "$package" || echo "not installed: $package" >&2
  done
}

# The version that `go install` wrote into a program.
built_version() {
  go version -m "$BIN/$1" 2>/dev/null | awk '$1 == "mod" { print $3 }'
}

install_programs() {
  if ! command -v go >/dev/null; then
    echo 'not installed, needs Go: crane, oras, regctl, registry, versitygw' >&2
    return 0
  fi
  mkdir -p "$BIN"
  echo "$PROGRAMS" | while read -r name source; do
    [ "$(built_version "$name")" = "${source##*@}" ] && continue
    CGO_ENABLED=0 GOBIN="$BIN" go install -trimpath "$source" || echo "not installed: $name" >&2
  done
}

# Its go.mod replaces modules, which `go install` refuses: so it is built as what a module of ours depends on.
install_seaweedfs() {
  source=github.com/seaweedfs/seaweedfs
  command -v go >/dev/null || return 0
  [ "$(go version -m "$BIN/weed" 2>/dev/null | awk -v name="$source" '$2 == name { print $3 }')" = "$SEAWEEDFS" ] && return 0
  module=$(mktemp -d)
  (
    cd "$module" || exit 1
    go mod init weed && go get "$source@$SEAWEEDFS" "$source/weed@$SEAWEEDFS" &&
      CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$BIN/weed" "$source/weed"
  ) || echo 'not installed: weed' >&2
  rm -rf "$module"
}

install_packages
install_programs
install_seaweedfs
