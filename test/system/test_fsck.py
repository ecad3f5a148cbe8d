"""weir fsck beside a server that works: what moves is not damage."""
import json
import pathlib
import resource
import subprocess
import threading

from harness import BUILD, SANITIZED, FakeMX, Weir, relay_conf

LOOKS = 10 if SANITIZED else 50


def test_a_working_server_is_not_called_damaged():
    """Segments so small that they are retired all the time."""
    mx = FakeMX()
    body = "X-Name: x\r\n\r\n" + "0123456789abcde\r\n" * 12000
    with Weir(dict(relay_conf(mx), queue_segment_size="1M", message_size_limit="256K")) as w:
        over = threading.Event()

        def load():
            with w.client() as c:
                c.ok("EHLO client.example")
                while not over.is_set():
                    c.transaction("", ["somebody@far.example"], body)

        senders = [threading.Thread(target=load) for _ in range(4)]
        for t in senders:
            t.start()
        try:
            for n in range(LOOKS):
                r = w.weir("fsck", w.conf["queue_directory"], check=False)
                assert r.returncode == 0, (n, r.returncode, r.out, r.err)
        finally:
            over.set()
            for t in senders:
                t.join()
        assert len(mx.messages) > LOOKS


def test_damage_beside_a_working_server_is_named():
    """Bytes that rot in mail that waits.  The second message proves that the
    first was synced: it is not the torn end of the log."""
    with Weir({"relayhost": "[127.0.0.1]:1"}) as w:
        w.send(["somebody@far.example"], body="X-Name: here\r\n\r\n" + "needle " * 100 + "\r\n")
        w.send(["somebody@far.example"])
        queue = pathlib.Path(w.conf["queue_directory"])
        path = next(p for p in queue.rglob("*") if p.is_file() and b"needle needle" in p.read_bytes())
        raw = path.read_bytes()
        at = raw.index(b"needle needle")
        with open(path, "r+b") as f:
            f.seek(at)
            f.write(b"rotten")
        r = w.weir("fsck", w.conf["queue_directory"], check=False)
        assert r.returncode == 65 and "2 messages: 2 damaged" in r.out, (r.out, r.err)
        r = w.weir("fsck", "--json", w.conf["queue_directory"], check=False)
        told = json.loads(r.out)
        assert r.returncode == 65 and told["in_use"] and told["damaged"] == 2
        assert {d["kind"] for d in told["damage"]} == {"record", "message"}
        # And by one that may not write a byte into any file, a temporary one neither.
        r = subprocess.run([BUILD / "weir-fsck", w.conf["queue_directory"]], capture_output=True, text=True, timeout=60,
                           preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))
        assert r.returncode == 65 and r.stderr == "" and "2 messages: 2 damaged" in r.stdout, r
