"""What a sandbox is made with, how long it lives; volumes and snapshots."""

import unittest
from datetime import datetime, timedelta, timezone

from deno_sandbox import DenoDeploy, HTTPStatusError
from deno_sandbox.errors import AuthenticationError

from shared import client


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
        self.assertEqual([item["slug"] for item in client.snapshots.list(search="py-", limit=5).items], ["py-snapshot"])
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
        client.snapshots.delete("py-snapshot")
        client.volumes.delete(volume["id"])
        self.assertIsNone(client.volumes.get("py-data"))

    def test_root(self):
        """a bootable volume is a sandbox's root, and keeps what is installed on it"""
        volume = client.volumes.create(slug="py-root", region="ord", capacity="10GB", from_snapshot="builtin:debian-13")
        self.assertTrue(volume["is_bootable"])
        with client.sandbox.create(root="py-root", allow_net=[]) as sb:
            sb.spawn("sudo", args=["touch", "/installed"]).wait()
        with client.sandbox.create(root=volume["id"], allow_net=[]) as sb:
            self.assertTrue(sb.fs.stat("/installed")["is_file"])
        client.volumes.delete("py-root")
