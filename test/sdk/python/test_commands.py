"""Processes, Deno, variables and requests, as the SDK's README and its types have them."""

import asyncio
import io
import unittest
from datetime import datetime, timezone

from deno_sandbox import AsyncDenoDeploy
from deno_sandbox.errors import RpcValidationError, UnknownRpcMethod

from shared import client, sandbox


class QuickStart(unittest.TestCase):
    def test_synchronous(self):
        """the synchronous quick start runs a command, and writes and reads a file"""
        with client.sandbox.create() as sb:
            process = sb.spawn("echo", args=["Hello from the sandbox!"], stdout="piped")
            self.assertEqual(process.wait(), {"success": True, "code": 0, "signal": None})
            self.assertEqual(process.stdout.read(), b"Hello from the sandbox!\n")
            sb.fs.write_text_file("/tmp/example.txt", "Hello, World!")
            self.assertEqual(sb.fs.read_text_file("/tmp/example.txt"), "Hello, World!")
            self.assertFalse(sb.closed)
        self.assertTrue(sb.closed)

    def test_asynchronous(self):
        """the asynchronous quick start does the same"""

        async def main():
            sdk = AsyncDenoDeploy()
            async with sdk.sandbox.create(debug=False) as sb:
                process = await sb.spawn("echo", args=["Hello"], stdout="piped", stderr="null")
                self.assertEqual((await process.wait())["code"], 0)
                self.assertEqual(await process.stdout.read(), b"Hello\n")
                await sb.fs.write_text_file("/tmp/example.txt", "Hello, World!")
                self.assertEqual(await sb.fs.read_text_file("/tmp/example.txt"), "Hello, World!")
                code = "Deno.serve(() => new Response('ok'))"
                async with await sb.deno.run(code=code, stdout="null", stderr="null") as served:
                    self.assertTrue(await served.wait_http_ready())
                    response = await served.fetch("https://example.com/", headers={"x": "y"}, redirect="follow")
                    self.assertEqual(response.status_code, 200)
                    self.assertEqual(dict(response.headers)["content-type"], "text/plain;charset=UTF-8")
                    url = "http://localhost:8000/"
                    self.assertTrue((await sb.fetch(url, method="GET", headers={}, redirect="manual")).is_success)
                self.assertGreater(await sb.extend_timeout(60), datetime.now(timezone.utc))
                self.assertFalse(sb.closed)
                async with sdk.sandbox.connect(sb.id) as second:
                    self.assertEqual(await second.fs.read_text_file("/tmp/example.txt"), "Hello, World!")
                    await second.kill()

        asyncio.run(main())


class Commands(unittest.TestCase):
    def test_options(self):
        """a child has its arguments, directory, variables and input"""
        child = sandbox().spawn(
            "bash",
            args=["-c", 'pwd; echo "$1 $WORD ${HOME-none}"; cat >&2', "bash", "two  words"],
            cwd="/usr/lib",
            clear_env=True,
            env={"WORD": "w"},
            stdin="piped",
            stdin_data=io.BytesIO(b"typed"),
            stdout="piped",
            stderr="piped",
        )
        self.assertGreater(child.pid, 1)
        self.assertEqual(child.stdout.readline(), b"/usr/lib\n")
        self.assertEqual(child.stdout.readexactly(9), b"two  word")
        self.assertEqual(child.stdout.read(), b"s w none\n")
        self.assertEqual(child.stderr.read(), b"typed")
        self.assertTrue(child.wait()["success"])
        self.assertIsNone(child.returncode)

    def test_failure(self):
        """a status has the code, and the signal that ended the process"""
        self.assertEqual(sandbox().spawn("sh", args=["-c", "exit 42"]).wait()["code"], 42)
        ended = sandbox().spawn("sh", args=["-c", "kill -9 $$"], stdout="null", stderr="null").wait()
        self.assertEqual((ended["success"], ended["code"], ended["signal"]), (False, 137, "SIGKILL"))
        with self.assertRaisesRegex(Exception, "no-such-command"):
            sandbox().spawn("no-such-command")

    def test_block(self):
        """a process ends with the block that it belongs to"""
        with sandbox().spawn("sleep", args=["600"]) as child:
            alive = sandbox().spawn("kill", args=["-0", str(child.pid)]).wait()
            self.assertTrue(alive["success"])
        gone = sandbox().spawn("sh", args=["-c", f"while kill -0 {child.pid} 2>&-; do sleep 0.1; done"]).wait()
        self.assertTrue(gone["success"])

    def test_variables(self):
        """variables are set, read and deleted, and later commands have them"""
        env = sandbox().env
        env.set("API_KEY", "secret-key-123")
        self.assertEqual(env.get("API_KEY"), "secret-key-123")
        self.assertIn("secret-key-123", env.as_dict().values())
        child = sandbox().spawn("sh", args=["-c", "echo $API_KEY"], stdout="piped")
        self.assertEqual(child.stdout.read(), b"secret-key-123\n")
        env.delete("API_KEY")
        self.assertIsNone(env.get("API_KEY"))

    def test_errors(self):
        """what the server does not know is an error of the SDK's own"""
        sb = sandbox()
        with self.assertRaises(UnknownRpcMethod):
            sb._bridge.run(sb._rpc.call("nonExistentMethod", {}))
        with self.assertRaisesRegex(RpcValidationError, "path"):
            sb._bridge.run(sb._rpc.call("readTextFile", {}))


class Deno(unittest.TestCase):
    def test_eval(self):
        """a snippet's last value is returned, and what it prints is not"""
        self.assertEqual(sandbox().deno.eval("1 + 2"), 3)
        self.assertIsNone(sandbox().deno.eval("console.log('Hello from Deno!')"))

    def test_session(self):
        """a session keeps what was declared, and its functions are called"""
        options = {"args": ["one"], "cwd": "/usr", "env": {"WORD": "w", "PATH": "/usr/local/bin:/usr/bin:/bin"}}
        repl = sandbox().deno.repl(clear_env=True, stdin="null", stdout="piped", stderr="null", **options)
        self.assertEqual(repl.eval("1 + 1"), 2)
        self.assertEqual(repl.eval("const x = [1, 2, 3]; x.map(n => n * 2)"), [2, 4, 6])
        self.assertEqual(repl.eval("[Deno.args, Deno.cwd(), Deno.env.get('WORD')]"), [["one"], "/usr", "w"])
        repl.eval("const add = (a, b) => a + b")
        self.assertEqual(repl.call("add", [1, 2]), 3)
        self.assertGreater(repl.pid, 1)
        repl.eval("console.log('to stdout')")
        self.assertEqual(repl.stdout.readline(), b"to stdout\n")
        repl.close()
        self.assertIsNone(repl.returncode)
        with sandbox().deno.repl(script_args=["a", "b"]) as second:
            self.assertEqual(second.eval("Deno.args"), ["a", "b"])
        third = sandbox().deno.repl()
        sandbox().spawn("kill", args=[str(third.pid)]).wait()
        self.assertFalse(third.wait()["success"])

    def test_code(self):
        """inline code runs, with input, arguments, variables and a directory"""
        child = sandbox().deno.run(
            code="console.log(Deno.args, Deno.cwd(), Deno.env.get('WORD'), await new Response(Deno.stdin.readable).text())",
            extension="mjs",
            script_args=["a"],
            cwd="/usr",
            env={"WORD": "w", "PATH": "/usr/local/bin:/usr/bin:/bin"},
            clear_env=True,
            stdin="piped",
            stdin_data=[b"ty", b"ped"],
            stdout="piped",
            stderr="null",
        )
        self.assertEqual(child.stdout.read(), b'[ "a" ] /usr w typed\n')
        self.assertTrue(child.wait()["success"])
        child = sandbox().deno.run(code="console.log(Deno.args)", args=["as", "arguments"], stdout="piped")
        self.assertEqual(child.stdout.read(), b'[ "as", "arguments" ]\n')

    def test_server(self):
        """a script in a file serves, and is reached from within and by its process"""
        sandbox().fs.write_text_file(
            "/app/server.ts",
            "Deno.serve({ port: 8000 }, (request) => request.url.endsWith('/there')"
            " ? new Response(null, { status: 302, headers: { location: '/here' } })"
            " : new Response(request.method + request.headers.get('x-field')));",
        )
        with sandbox().deno.run(entrypoint="/app/server.ts", stdout="null") as served:
            self.assertTrue(served.wait_http_ready())
            url = "http://localhost:8000"
            there = sandbox().fetch(f"{url}/there", method="GET", headers={"x-field": "f"}, redirect="manual")
            self.assertEqual(there.status_code, 302)
            self.assertEqual((there.is_redirect, there.is_success, there.is_error), (True, False, False))
            self.assertEqual((there.is_informational, there.is_client_error, there.is_server_error), (False,) * 3)
            self.assertIn(["location", "/here"], there.headers)
            self.assertFalse(there.has_redirect_location)  # it looks for a name among pairs
            here = served.fetch("https://example.com/there", method="GET", headers={"x-field": "f"}, redirect="follow")
            self.assertEqual(here.status_code, 200)
            self.assertIsNone(here.raise_for_status())
