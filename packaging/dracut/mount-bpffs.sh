#!/bin/sh
# Mounts bpffs, in which attached drivers are kept, before udev runs, where systemd has not. It moves to the real root with /sys.

if ! grep -q ' /sys/fs/bpf bpf ' /proc/mounts; then
    mount -t bpf -o nosuid,nodev,noexec,relatime,mode=700 bpf /sys/fs/bpf
fi
