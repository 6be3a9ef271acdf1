#!/bin/bash
# Puts the drivers, and the helper that attaches them, into the initramfs, for keyboards that are needed before the root is there.
# Only where it is asked for: add_dracutmodules+=" hidbpf " in a file of /etc/dracut.conf.d.

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
    local rule=/usr/lib/udev/rules.d/81-hidbpf.rules helper folder
    # What the rule starts.
    while read -r helper; do
        inst "$helper"
    done < <(sed -n 's/.*RUN+="\([^ "]*\).*/\1/p' "$rule" | sort -u)
    inst_simple "$rule"
    for folder in /etc/hidbpf /usr/local/lib/hidbpf /usr/lib/hidbpf; do
        if [[ -d "$dracutsysrootdir$folder" ]]; then
            find "$dracutsysrootdir$folder" -type f -printf "$folder/%P\n" | while read -r file; do inst_simple "$file"; done
        fi
    done
    # udev reads this one, where there is one, instead of that in /usr.
    if [[ -e "$dracutsysrootdir/etc/udev/hwdb.bin" ]]; then
        inst_simple /etc/udev/hwdb.bin
    fi
    inst_hook pre-udev 50 "$moddir/mount-bpffs.sh"
}
