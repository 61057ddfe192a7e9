#!/bin/sh
# The first process of a managed host for tests: makes the host's own files and its network, then becomes its sshd.
# It starts in mount, PID, network, IPC and UTS namespaces of its own, so all that it makes ends with it.
# directory: keys, sshd_config and password of this host; near: the network namespace of the tests
set -eu
directory=$1 name=$2 user=$3 near=$4 link=$5 near_address=$6 address=$7
umask 022
hostname "$name"
mount --make-rprivate /

# A veth pair; its near end may linger for a moment when this host was killed and starts again.
nsenter --net="$near" ip link delete "$link" 2>/dev/null || true
ip link add eth0 type veth peer name "$link" netns "$near"
nsenter --net="$near" ip address add "$near_address/30" dev "$link"
nsenter --net="$near" ip link set "$link" up
ip address add "$address/30" dev eth0
ip link set eth0 up
ip link set lo up
mount -t proc proc /proc

# Its own /etc with the user in it, and its own memory in place of every directory that plays and logins write to.
mount -t tmpfs -o mode=0755 tmpfs /mnt
mkdir /mnt/keys
cp -a "$directory/." /mnt/keys
cp -a /etc /mnt/etc
mount --bind /mnt/etc /etc
for writable in /home /root /run /var/log /var/mail; do
    mount -t tmpfs -o mode=0755 tmpfs "$writable"
done
for writable in /tmp /var/tmp /dev/shm; do
    mount -t tmpfs -o mode=1777 tmpfs "$writable"
done
# The rest of the machine cannot be written, whatever a play does as root.
mount -o remount,bind,ro /

printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$name" >/etc/hosts
useradd --create-home --shell /bin/sh "$user"
printf '%s:%s\n' "$user" "$(cat /mnt/keys/password)" | chpasswd
# Without a remembered login the password is asked for each time.
printf '%s ALL=(ALL:ALL) ALL\nDefaults:%s timestamp_timeout=0\n' "$user" "$user" >/etc/sudoers.d/tests
chmod 0440 /etc/sudoers.d/tests
mkdir /run/sshd
exec /usr/sbin/sshd -D -e -f /mnt/keys/sshd_config
