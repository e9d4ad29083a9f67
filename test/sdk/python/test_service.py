"""What a sandbox is made with, how long it lives; volumes and snapshots."""

import http.client
import os
import socket
import ssl
import unittest
from datetime import datetime, timedelta, timezone
from urllib.parse import urlsplit

from deno_sandbox import DenoDeploy, HTTPStatusError
from deno_sandbox.errors import AuthenticationError

from shared import client, sandbox


class Service(unittest.TestCase):
    def test_options(self):
        """a sandbox is made with the options that are given, and found by its labels"""
        labels = {"team": "it's a", "stage": 'te"st'}
        options = {"region": "ord", "memory_mb": 1280, "env": {"NODE_ENV": "production"}, "allow_net": []}
        with client.sandbox.create(timeout="5m", labels=labels, debug=False, ssh=False, **options) as sb:
            self.assertRegex(sb.id, "^sbx_[a-z]{3}_[0-9a-z]{20}$")
            self.assertIsNotNone(sb.trace_id)
            child = sb.spawn("sh", args=["-c", "echo $NODE_ENV"], stdout="piped")
            self.assertEqual(child.stdout.read(), b"production\n")
            (listed,) = client.sandbox.list(labels=labels).items
            self.assertEqual((listed["id"], listed["status"], listed["stopped_at"]), (sb.id, "running", None))
            self.assertEqual(client.sandbox.list(labels={"team": "none"}).items, [])
        # Its connection is closed; it lives on, and others connect to it.
        with client.sandbox.connect(sb.id, debug=False) as again:
            until = again.extend_timeout(600)
            self.assertGreater(until, datetime.now(timezone.utc) + timedelta(minutes=9))
            again.kill()
        with self.assertRaises(Exception):
            with client.sandbox.connect(sb.id):
                pass
        self.assertIn(sb.id, [item["id"] for item in client.sandbox.list().items if item["status"] == "stopped"])

    def test_secrets(self):
        """a secret is a placeholder within"""
        secrets = {"OPENAI_API_KEY": {"hosts": ["api.openai.com"], "value": "sk-proj-your-real-key"}}
        with client.sandbox.create(secrets=secrets) as sb:
            child = sb.spawn("sh", args=["-c", "echo $OPENAI_API_KEY"], stdout="piped")
            self.assertRegex(child.stdout.read().decode(), "^DENO_SECRET_PLACEHOLDER_[0-9a-f]+\n$")

    def test_errors(self):
        """errors have the server's status, code and words"""
        with self.assertRaises(AuthenticationError):
            with DenoDeploy({"token": "ddo_" + "x" * 43}).sandbox.create():
                pass
        with self.assertRaises(HTTPStatusError) as caught:
            client.volumes.create(slug="UPPER", region="ord", capacity="1GB")
        self.assertEqual((caught.exception.status_code, caught.exception.code), (400, "INVALID_REQUEST"))
        self.assertIsNotNone(caught.exception.trace_id)

    def test_volume(self):
        """a volume keeps what is written to it, is snapshotted, listed over pages and deleted"""
        volume = client.volumes.create(slug="py-data", region="us-east-1", capacity="1GB")
        self.assertEqual((volume["slug"], volume["capacity"], volume["is_bootable"]), ("py-data", 10**9, False))
        with client.sandbox.create(volumes={"/data": volume["id"]}) as sb:
            sb.fs.write_text_file("/data/persistent.txt", "This data persists!")
        snapshot = client.volumes.snapshot(volume["id"], slug="py-snapshot")
        self.assertEqual((snapshot["slug"], snapshot["volume"]["slug"]), ("py-snapshot", "py-data"))
        self.assertEqual(client.snapshots.get("py-snapshot")["id"], snapshot["id"])
        self.assertIsNone(client.snapshots.get("none"))
        client.volumes.snapshot("py-data", slug="py-second")
        page = client.snapshots.list(search="py-", limit=1)
        after = client.snapshots.list(search="py-", limit=1, cursor=page.next_cursor)
        self.assertEqual([item["slug"] for item in page.items + after.items], ["py-second", "py-snapshot"])
        copy = client.volumes.create(slug="py-copy", region="ord", capacity="1GB", from_snapshot="py-snapshot")
        with client.sandbox.create(volumes={"/data": "py-copy"}) as sb:
            self.assertEqual(sb.fs.read_text_file("/data/persistent.txt"), "This data persists!")
        self.assertEqual(copy["base_snapshot"]["slug"], "py-snapshot")
        first = client.volumes.list(search="py-", limit=1)
        self.assertEqual((len(first.items), first.has_more), (1, True))
        second = first.get_next_page()
        self.assertEqual({first.items[0]["slug"], second.items[0]["slug"]}, {"py-data", "py-copy"})
        self.assertEqual(client.volumes.list(search="py-", cursor=first.next_cursor).items, second.items)
        self.assertIsNone(second.get_next_page())
        client.volumes.delete("py-copy")
        for slug in ["py-second", "py-snapshot"]:
            client.snapshots.delete(slug)
        client.volumes.delete(volume["id"])
        self.assertIsNone(client.volumes.get("py-data"))

    def test_root(self):
        """a bootable snapshot is a sandbox's root, and a bootable volume is made"""
        # Made beforehand, with its template: the SDK gives up on a sandbox after ten seconds.
        with client.sandbox.create(root="py-root", allow_net=[]) as sb:
            self.assertTrue(sb.fs.stat("/installed")["is_file"])
        volume = client.volumes.create(slug="py-bootable", region="ord", capacity="11GB", from_snapshot="py-root")
        self.assertTrue(volume["is_bootable"])
        client.volumes.delete(volume["id"])


class Doors(unittest.TestCase):
    def test_http(self):
        """servers are exposed by their port and by their process, under names that anybody can reach"""
        code = "Deno.serve({ port: 8000 }, () => new Response('Hello from sandbox!'))"
        with client.sandbox.create(port=8000, allow_net=[]) as sb:
            with sb.deno.run(code=code, stdout="null", stderr="null") as process:
                process.wait_http_ready()
                for target in [{"port": 8000}, {"pid": process.pid}]:
                    self.assertEqual(get(sb.expose_http(**target)), "Hello from sandbox!")
            sb.close()

    def test_ssh(self):
        """the credentials of SSH have a host, a user name and a port"""
        login = sandbox().expose_ssh()
        self.assertEqual([type(login[name]) for name in ["hostname", "username", "port"]], [str, str, int])


def get(url):
    """A request to the gateway of this machine, wherever the resolver would look; its certificate is checked."""
    host, port = urlsplit(url).hostname, urlsplit(url).port
    trusted = ssl.create_default_context(cafile=os.environ["SBX_TEST_GATEWAY_CERTIFICATE"])
    with socket.create_connection(("127.0.0.1", port)) as raw, trusted.wrap_socket(raw, server_hostname=host) as tls:
        connection = http.client.HTTPConnection(host, port)
        connection.sock = tls
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
