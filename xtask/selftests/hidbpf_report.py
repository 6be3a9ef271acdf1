"""A plugin of pytest: runs the tests that a file names, and reports over a socket what happens, a line of JSON each."""

import json
import os
import pathlib
import socket
import subprocess

import pytest

# How many lines at the end of each part of a failure's explanation are reported.
LINES = 40

connection = socket.socket(socket.AF_UNIX)
connection.connect(os.environ["HIDBPF_REPORT"])

with open(os.environ["HIDBPF_TESTS"]) as file:
    wanted = set(json.load(file))


def say(what, value):
    connection.sendall((json.dumps({what: value}) + "\n").encode())


def pytest_collection_modifyitems(config, items):
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in wanted])
    items[:] = [item for item in items if item.nodeid in wanted]


def pytest_collection_finish(session):
    say("collected", [item.nodeid for item in session.items])


def pytest_runtest_logstart(nodeid):
    say("begin", nodeid)


def pytest_runtest_setup(item):
    """Skips the tests of a file whose kernel driver is missing. Not all classes in it ask for the driver themselves."""
    wanted = getattr(item.module, "KERNEL_MODULE", None)
    if wanted and not pathlib.Path("/sys/bus/hid/drivers", wanted.driver_name).exists():
        if subprocess.run(["modprobe", "--quiet", wanted.module_name]).returncode != 0:
            pytest.skip(f"the kernel has no driver {wanted.driver_name}")


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_makereport(item):
    """A test that loads a BPF object is to be skipped only if its device lacks what the test is about."""
    report = (yield).get_result()
    if report.skipped and not hasattr(report, "wasxfail") and getattr(item.cls, "hid_bpfs", []):
        reason = reason_of(report)
        if reason not in [mark.args[1] for mark in item.iter_markers("skip_if_uhdev")]:
            report.outcome = "failed"
            report.longrepr = f"skipped, although its device has what it needs: {reason}"


def reason_of(report):
    """A failure that the test expects is reported as a skip. The explanation of other skips is a path, a line and a reason."""
    if hasattr(report, "wasxfail"):
        return " ".join(["fails, as its authors expect", report.wasxfail]).strip()
    return report.longrepr[2].removeprefix("Skipped: ")


def end_of(text):
    return "\n".join(text.splitlines()[-LINES:])


def pytest_runtest_logreport(report):
    if report.skipped:
        why = reason_of(report)
    elif report.failed:
        parts = [f"{report.when}: {end_of(report.longreprtext)}"]
        parts += [f"{title}:\n{end_of(text)}" for title, text in report.sections]
        why = "\n".join(parts)
    else:
        return
    say("phase", {"outcome": report.outcome, "why": why})


def pytest_runtest_logfinish(nodeid):
    """Goes on once the guest has looked at what the test has left behind."""
    say("end", nodeid)
    connection.recv(1)
