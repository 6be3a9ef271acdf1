#!/bin/sh
# Mounts bpffs, which has the pins of attached drivers, before udev runs, unless systemd has done so. It moves to the real root with /sys.

if ! grep -q ' /sys/fs/bpf bpf ' /proc/mounts; then
    mount -t bpf -o nosuid,nodev,noexec,relatime,mode=700 bpf /sys/fs/bpf
fi
