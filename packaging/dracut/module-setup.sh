#!/bin/bash
# Puts the drivers and the helper into the initramfs, for keyboards that are needed before the root is mounted. To enable the module, put
# add_dracutmodules+=" hidbpf " into a file of /etc/dracut.conf.d.
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
    # The rule starts the helper, which runs `hidbpf` for drivers that need libbpf.
    inst /usr/lib/udev/hidbpf-udev
    inst /usr/bin/hidbpf
    for folder in /etc/hidbpf /usr/local/lib/hidbpf /usr/lib/hidbpf; do
        if [[ -d "$dracutsysrootdir$folder" ]]; then
            # Symbolic links may lead to other folders, on NixOS into its store.
            find -L "$dracutsysrootdir$folder" -type f -printf "$folder/%P\n" | while read -r file; do inst_simple "$file"; done
        fi
    done
    # If this one exists, udev reads it instead of the one in /usr.
    if [[ -e "$dracutsysrootdir/etc/udev/hwdb.bin" ]]; then
        inst_simple /etc/udev/hwdb.bin
    fi
    inst_hook pre-udev 50 "$moddir/mount-bpffs.sh"
}
