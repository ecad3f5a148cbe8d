"""A lone client that takes the power away in the instant of its last 250.

A process of its own, so that nothing lies between the two.  Arguments: the
port, a descriptor of the file system, how many messages, their name, and
the file in which a fault is planted for the last of them (or "").  Prints the
names that were acknowledged.
"""
import fcntl
import json
import mmap
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from harness import Client  # noqa: E402

IOC_SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN
NO_LOG_FLUSH = struct.pack("I", 2)  # what was not synced is gone


def main(port, fd, count, tag, planted):
    acked = []
    page = None
    if planted:
        with open(planted, "r+b") as f:
            page = mmap.mmap(f.fileno(), 0)
    with Client(port, timeout=60) as c:
        c.ok("EHLO cutter.example")
        for i in range(count):
            name = f"{tag}-{i}"
            c.ok("MAIL FROM:<>")
            c.ok(f"RCPT TO:<later-{name}@far.example>")
            c.ok("DATA", 354)
            if page and i + 1 == count:
                struct.pack_into("=q", page, 0, -1)
            c.send(f"Subject: {name}\r\nX-Name: {name}\r\n\r\n{name} body\r\n.\r\n")
            code, text = c.reply()
            if i + 1 == count:
                fcntl.ioctl(fd, IOC_SHUTDOWN, NO_LOG_FLUSH)
            assert code == 250, (code, text)
            acked.append(name)
    print(json.dumps(acked))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5])
