#!/bin/bash
# Puts the drivers, and the helper that attaches them, into the initramfs, for keyboards that are needed before the root is there.
# Only where it is asked for: add_dracutmodules+=" hidbpf " in a file of /etc/dracut.conf.d.
#
# dracut sets the variables.
# shellcheck disable=SC2154

check() {
    return 255
}

depends() {
    echo hwdb udev-rules
}

installkernel() {
    hostonly='' instmods hid-generic usbhid i2c-hid-acpi i2c-hid-of
}

install() {
    local folder file
    inst_simple /usr/lib/udev/rules.d/81-hidbpf.rules
    # What the rule starts, and what that starts where it needs libbpf.
    inst /usr/lib/udev/hidbpf-udev
    inst /usr/bin/hidbpf
    for folder in /etc/hidbpf /usr/local/lib/hidbpf /usr/lib/hidbpf; do
        if [[ -d "$dracutsysrootdir$folder" ]]; then
            # Links may lead elsewhere: NixOS has them to its store.
            find -L "$dracutsysrootdir$folder" -type f -printf "$folder/%P\n" | while read -r file; do inst_simple "$file"; done
        fi
    done
    # udev reads this one, where there is one, instead of that in /usr.
    if [[ -e "$dracutsysrootdir/etc/udev/hwdb.bin" ]]; then
        inst_simple /etc/udev/hwdb.bin
    fi
    inst_hook pre-udev 50 "$moddir/mount-bpffs.sh"
}
