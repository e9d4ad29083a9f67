"""Apps, layers, deploying, revisions and timelines."""

import unittest
import warnings
from datetime import datetime, timedelta, timezone

from shared import client, sandbox

SOURCE = "console.log('started'); Deno.serve(() => new Response('Hello'))"
ASSETS = {"main.ts": {"kind": "file", "encoding": "utf-8", "content": SOURCE}}


class Apps(unittest.TestCase):
    def test_apps(self):
        """apps are made, found, changed, listed over pages and deleted"""
        labels = {"team": "py"}
        variables = [{"key": "KEY", "value": "v", "secret": False, "contexts": "all"}]
        config = {"install": None, "build": None, "runtime": {"type": "dynamic", "entrypoint": "main.ts"}}
        app = client.apps.create(slug="py-app", labels=labels, layers=[], env_vars=variables, config=config)
        self.assertEqual((app["slug"], app["env_vars"][0]["key"]), ("py-app", "KEY"))
        other = client.apps.create()
        self.assertEqual(client.apps.get("py-app")["id"], app["id"])
        self.assertIsNone(client.apps.get("none-of-that-name"))
        changes = {"slug": "py-renamed", "labels": {"team": "py2"}, "layers": [], "config": config}
        changed = client.apps.update("py-app", env_vars=[{"key": "KEY", "value": "w"}], **changes)
        self.assertEqual((changed["slug"], changed["env_vars"][0]["value"]), ("py-renamed", "w"))
        first = client.apps.list(limit=1)
        self.assertTrue(first.has_more)
        slugs = {first.items[0]["slug"], first.get_next_page().items[0]["slug"]}
        self.assertEqual(slugs, {"py-renamed", other["slug"]})
        self.assertEqual(len(client.apps.list(limit=1, cursor=first.next_cursor).items), 1)
        self.assertEqual([item["id"] for item in client.apps.list(labels={"team": "py2"}).items], [app["id"]])
        client.apps.delete("py-renamed")
        client.apps.delete(other["id"])

    def test_layers(self):
        """layers are made, found, changed, listed with their apps and deleted"""
        variables = [{"key": "SHARED", "value": "1"}]
        layer = client.layers.create(slug="py-layer", description="d", layers=[], env_vars=variables)
        second = client.layers.create(slug="py-layer-two", layers=["py-layer"])
        self.assertEqual(second["layers"], [{"id": layer["id"], "slug": "py-layer"}])
        app = client.apps.create(slug="py-layered", layers=["py-layer"])
        self.assertEqual([item["slug"] for item in client.apps.list(layer="py-layer").items], ["py-layered"])
        self.assertEqual(client.layers.get("py-layer")["app_count"], 1)
        self.assertIsNone(client.layers.get("none-of-that-name"))
        other = client.apps.create(slug="py-layered-too", layers=["py-layer-two", "py-layer"])
        page = client.layers.apps("py-layer", limit=1)
        users = page.items + client.layers.apps("py-layer", limit=1, cursor=page.next_cursor).items
        self.assertEqual({(user["slug"], user["layer_position"]) for user in users}, {("py-layered", 0), ("py-layered-too", 1)})
        changed = client.layers.update(second["id"], slug="py-two", description="e", layers=[], env_vars=variables)
        self.assertEqual((changed["slug"], changed["layers"]), ("py-two", []))
        first = client.layers.list(search="py-", limit=1)
        again = client.layers.list(search="py-", limit=1, cursor=first.next_cursor)
        self.assertEqual({first.items[0]["slug"], again.items[0]["slug"]}, {"py-layer", "py-two"})
        for made in [app, other]:
            client.apps.delete(made["id"])
        for slug in ["py-two", "py-layer"]:
            client.layers.delete(slug)

    def test_deploy(self):
        """assets are deployed: progress, build log, revision, timelines, what it logs, how long it is kept"""
        app = client.apps.create(slug="py-deployed")
        begun = (datetime.now(timezone.utc) - timedelta(minutes=1)).isoformat()
        revision = client.revisions.deploy(
            "py-deployed",
            assets=ASSETS,
            config={"install": None, "build": None, "runtime": {"type": "dynamic", "entrypoint": "main.ts"}},
            layers=[],
            env_vars=[{"key": "WORD", "value": "w"}],
            labels={"git": "main"},
            production=True,
            preview=True,
            retention="auto",
        )
        events = list(client.revisions.progress(revision["id"]))
        self.assertEqual(events[-1]["deploying"]["status"], "succeeded")
        entries = list(client.revisions.build_logs(revision["id"]))
        self.assertTrue(entries and all({"timestamp", "level", "message"} <= entry.keys() for entry in entries))
        steps = client.revisions.build_logs(revision["id"], step="deploying", timeline="production")
        self.assertEqual({entry["step"] for entry in steps}, {"deploying"})
        got = client.revisions.get(revision["id"])
        self.assertEqual(got["status"], "succeeded")
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            self.assertEqual(client.revisions.get(app["id"], revision["id"])["id"], revision["id"])
        self.assertIsNone(client.revisions.get("none"))
        listed = client.revisions.list("py-deployed", status="succeeded", limit=5)
        self.assertEqual([item["id"] for item in listed.items], [revision["id"]])
        timelines = client.revisions.timelines(revision["id"])
        self.assertEqual(sorted(timeline["slug"].split("/")[0] for timeline in timelines), ["preview", "production"])
        page = client.timelines.list("py-deployed", limit=1)
        after = client.timelines.list("py-deployed", limit=1, cursor=page.next_cursor)
        self.assertEqual(len({timeline["slug"] for timeline in page.items + after.items}), 2)
        kept = client.revisions.set_retention(revision["id"], "indefinite")
        self.assertEqual(kept["id"], revision["id"])
        until = datetime.now(timezone.utc).isoformat()
        wanted = {"start": begun, "end": until, "revision_id": revision["id"], "level": "info", "query": "started"}
        page = client.apps.logs("py-deployed", limit=1, **wanted)
        # One of each timeline.
        after = client.apps.logs("py-deployed", limit=1, cursor=page["next_cursor"], **wanted)
        self.assertEqual([line["message"] for line in page["logs"] + after["logs"]], ["started", "started"])
        self.assertIsNone(after["next_cursor"])
        streamed = client.apps.logs_stream("py-deployed", **wanted)
        self.assertEqual([line["message"] for line in streamed], ["started", "started"])
        second = client.revisions.deploy("py-deployed", ASSETS, config={"install": None, "build": "sleep 60"})
        self.assertIsNotNone(client.revisions.cancel(second["id"])["cancellation_requested_at"])
        list(client.revisions.progress(second["id"]))
        self.assertEqual(client.revisions.get(second["id"])["failure_reason"], "cancelled")
        page = client.revisions.list("py-deployed", limit=1)
        self.assertEqual(client.revisions.list("py-deployed", limit=1, cursor=page.next_cursor).items[0]["id"], revision["id"])
        client.revisions.delete(second["id"])
        client.apps.delete(app["id"])

    def test_sandbox(self):
        """a sandbox's directory is deployed, and its build is waited for and read"""
        app = client.apps.create(slug="py-from-sandbox")
        sandbox().fs.mkdir("/home/app/py-app", recursive=True)
        sandbox().fs.write_text_file("/home/app/py-app/main.ts", SOURCE)
        options = {"path": "py-app", "production": True, "preview": False, "args": ["start"]}
        build = sandbox().deno.deploy("py-from-sandbox", entrypoint="main.ts", **options)
        self.assertEqual(build.wait()["status"], "succeeded")
        self.assertTrue(all("message" in entry for entry in build.logs()))
        client.apps.delete(app["id"])
