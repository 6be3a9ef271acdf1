"""A plugin of pytest: writes the names of the collected tests to a file, a line of JSON each, with the BPF objects that they load."""

import json
import os


def pytest_collection_finish(session):
    with open(os.environ["HIDBPF_LIST"], "w") as file:
        for item in session.items:
            objects = [bpf.object_name for bpf in getattr(item.cls, "hid_bpfs", [])]
            file.write(json.dumps({"name": item.nodeid, "objects": objects}) + "\n")
