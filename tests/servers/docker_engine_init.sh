#!/bin/sh
# The first process of a private Docker engine: makes its own /proc, /etc and /run, waits for a network, runs dockerd.
# It starts in mount, PID, network, IPC and UTS namespaces of its own, so all that it makes ends with it.
set -eu
directory=$1 cgroup=$2
PATH=$PATH:/usr/sbin:/sbin
mount --make-rprivate /
mount -t proc proc /proc
cp -a /etc "$directory/etc"
rm -f "$directory/etc/resolv.conf"
cat /etc/resolv.conf >"$directory/etc/resolv.conf"
mount --bind "$directory/etc" /etc
mount -t tmpfs -o mode=0755 tmpfs /run

touch "$directory/entered"
until ip -4 route show default | grep -q tap0; do sleep 0.05; done
# Not by exec: process 1 has orphans to bury, and dockerd does not.
dockerd --data-root "$directory/data" --exec-root "$directory/exec" --pidfile "$directory/pid" \
    --host "unix://$directory/d.sock" --group root --cgroup-parent "$cgroup"
