#!/usr/bin/env bash
# debian.sh OUT: makes a real Debian image below the directory OUT, which must not exist:
#   OUT/base.tar   the base system as one plain GNU tar: whole-second times, no xattrs, no fifos
#   OUT/layout     an OCI layout, ref "latest", of five gzip layers written by buildah; base.tar is its lowest
# Needs root, debootstrap, buildah, attr. The mirror is the one this machine's apt uses.
set -euo pipefail
umask 022
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
suite=bookworm
out=$1
mkdir "$out"
work=$out/work

b() { buildah --root "$work/storage" --runroot "$work/run" "$@"; }

# Whatever is mounted below the work directory (buildah's storage, debootstrap's /proc) goes before the files do.
clean() {
    awk -v dir="$work/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | sort -r | xargs -r umount -l
    rm -rf --one-file-system "$work"
}
trap clean EXIT
mkdir "$work"

mirror=$(apt-get indextargets --no-release-info --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk -v suite="$suite" '$2 == suite && $3 == "main" && !seen++ { print $1 }')
if [ -z "$mirror" ]; then
    echo "apt knows no mirror of $suite main" >&2
    exit 1
fi

step() { echo "--- $* (${SECONDS} s)"; }

# --- the base system ---------------------------------------------------------------------------------------------
step debootstrap
debootstrap --variant=minbase "$suite" "$work/system" "$mirror"
rm -rf "$work"/system/var/cache/apt/archives/*.deb "$work"/system/var/lib/apt/lists/*
tar -C "$work/system" --format=gnu --numeric-owner --sort=name -cf "$out/base.tar" .
rm -rf --one-file-system "$work/system"

# --- layer 1: that tar -------------------------------------------------------------------------------------------
step layer 1
ctr=$(b from scratch)
b add -q "$ctr" "$out/base.tar" / >/dev/null
b config --cmd /bin/bash --label purpose=test "$ctr"
b commit -q --rm "$ctr" layer1 >/dev/null

# --- layer 2: packages added (hard links from bzip2, a file capability from ping) ----------------------------
step layer 2
ctr=$(b from layer1)
b run --isolation chroot "$ctr" -- sh -ec '
    apt-get -q update
    apt-get -qy install --no-install-recommends bzip2 iputils-ping libcap2-bin file less
    apt-get clean
    rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin'
b commit -q --rm "$ctr" layer2 >/dev/null

# --- layer 3: files and trees removed; packages removed ----------------------------------------------------------
step layer 3
ctr=$(b from layer2)
b run --isolation chroot "$ctr" -- dpkg --purge less
m=$(b mount "$ctr")
rm -r "$m/usr/share/doc" "$m/usr/share/man" "$m"/usr/share/zoneinfo/[A-M]*
rm -r "$m/usr/share/locale" && mkdir "$m/usr/share/locale" # opaque
echo "no translations" >"$m/usr/share/locale/README"
rm "$m/etc/issue" "$m/etc/issue.net" "$m/usr/bin/bzmore"
b commit -q --rm "$ctr" layer3 >/dev/null

# --- layer 4: metadata only, and links: modes, owners, hard links to files of lower layers, xattrs, capabilities -----
step layer 4
ctr=$(b from layer3)
m=$(b mount "$ctr")
chmod 0750 "$m/usr/bin/passwd" "$m/etc/apt"
chmod -R go-rx "$m/usr/share/perl5"
chown -R 1234:3000000 "$m/srv" "$m/usr/share/bash-completion"
ln "$m/usr/bin/bash" "$m/usr/bin/bash-too"          # a file of layer 1, linked
ln "$m/usr/bin/bzcat" "$m/usr/local/bin/bzcat-too"  # one name of a group that layer 2 made
ln -s ../no/such/file "$m/usr/local/dangling"
setfattr -n user.origin -v 'set in layer 4' "$m/usr/bin/dpkg"
setfattr -n user.second -v 0x000a3d31 "$m/usr/bin/dpkg"
setfattr -n user.dir -v yes "$m/etc"
setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 "$m/usr/bin/perl"
setfattr -x security.capability "$m/usr/bin/ping"
b commit -q --rm "$ctr" layer4 >/dev/null

# --- layer 5: kinds change; devices and a fifo; big and awkward files -----------------------------------------------
step layer 5
ctr=$(b from layer4)
m=$(b mount "$ctr")
rm -r "$m/usr/share/zoneinfo/Pacific" && echo "a file now" >"$m/usr/share/zoneinfo/Pacific"
rm "$m/usr/bin/bzgrep" && mkdir "$m/usr/bin/bzgrep" && echo inside >"$m/usr/bin/bzgrep/file"
rm -r "$m/opt" && ln -s usr/local "$m/opt"
mkdir -p "$m/nodes"
mkfifo -m 0640 "$m/nodes/fifo"
mknod -m 0666 "$m/nodes/char" c 1 3
mknod -m 0660 "$m/nodes/block" b 259 1048575
cat "$m"/usr/bin/{bash,dpkg,perl,tar} >"$m/usr/local/many-chunks" # over 5 MiB
truncate -s 5M "$m/usr/local/hole"
: >"$m/usr/local/empty"
echo name >"$m/usr/local/größe-文件"
b commit -q --rm "$ctr" layer5 >/dev/null

step write
b push -q layer5 "oci:$out/layout:latest"
step done
