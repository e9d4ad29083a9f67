"""The file system."""

import io
import os
import tempfile
import unittest

from shared import sandbox


class Files(unittest.TestCase):
    def setUp(self):
        self.fs = sandbox().fs
        self.at = self.fs.make_temp_dir(prefix="py-")

    def test_readme(self):
        """the README's example: directories, files, a listing, a walk, a glob"""
        fs = self.fs
        fs.mkdir("/app/data", recursive=True)
        fs.write_text_file("/app/data/config.json", '{"key": "value"}')
        fs.write_file("/app/data/binary.bin", b"\x00\x01\x02\x03")
        self.assertEqual(fs.read_text_file("/app/data/config.json"), '{"key": "value"}')
        self.assertEqual(fs.read_file("/app/data/binary.bin"), b"\x00\x01\x02\x03")
        listed = {entry["name"]: entry["is_file"] for entry in fs.read_dir("/app/data")}
        self.assertEqual(listed, {"config.json": True, "binary.bin": True})
        walked = [entry["path"] for entry in fs.walk("/app/data")]
        self.assertEqual(sorted(walked), ["/app/data", "/app/data/binary.bin", "/app/data/config.json"])
        matches = fs.expand_glob("**/*.json", root="/app")
        self.assertEqual([entry["path"] for entry in matches], ["/app/data/config.json"])

    def test_write_options(self):
        """content is bytes, pieces or an open file, and options say what may be there"""
        fs, path = self.fs, f"{self.at}/file"
        fs.write_file(path, [b"one ", b"two"], create=True, mode=0o640)
        fs.write_file(path, io.BytesIO(b" three"), append=True)
        self.assertEqual(fs.read_file(path), b"one two three")
        self.assertEqual(fs.stat(path)["mode"] & 0o777, 0o640)
        for options in [{"create_new": True}, {"create": False}]:
            target = path if "create_new" in options else f"{path}-none"
            with self.assertRaises(Exception):
                fs.write_file(target, b"", **options)
            with self.assertRaises(Exception):
                fs.write_text_file(target, "", **options)
        fs.write_text_file(path, "text", append=False, mode=0o600)
        fs.write_text_file(path, "+", append=True)
        self.assertEqual(fs.read_text_file(path), "text+")

    def test_metadata(self):
        """modes, owners, times, lengths, links and names are what they were set to"""
        fs, path = self.fs, f"{self.at}/meta"
        fs.write_text_file(path, "0123456789")
        fs.chmod(path, 0o600)
        info = fs.stat(path)
        self.assertEqual((info["is_file"], info["size"], info["mode"] & 0o777), (True, 10, 0o600))
        fs.chown(path, uid=info["uid"], gid=info["gid"])
        fs.utime(path, atime="2020-01-01T00:00:00Z", mtime="2020-01-02T00:00:00Z")
        self.assertTrue(fs.stat(path)["mtime"].startswith("2020-01-02T00:00:00"))
        fs.truncate(path, length=4)
        fs.copy_file(path, f"{path}-copy")
        self.assertEqual(fs.read_text_file(f"{path}-copy"), "0123")
        fs.rename(f"{path}-copy", f"{path}-new")
        fs.link(path, f"{path}-hard")
        self.assertEqual(fs.stat(path)["nlink"], 2)
        fs.symlink(path, f"{path}-link", type="file")
        self.assertEqual(fs.read_link(f"{path}-link"), path)
        self.assertEqual(fs.real_path(f"{path}-link"), path)
        self.assertTrue(fs.lstat(f"{path}-link")["is_symlink"])
        with self.assertRaises(Exception):
            fs.remove(self.at)
        fs.remove(self.at, recursive=True)
        before = fs.umask(mask=0o022)
        self.assertEqual(fs.umask(mask=before), 0o022)

    def test_temporary(self):
        """temporary files and directories have names of their own"""
        made = self.fs.make_temp_dir(dir=self.at, prefix="p-", suffix="-s")
        self.assertRegex(made, rf"^{self.at}/p-.+-s$")
        self.fs.mkdir(f"{made}/private", mode=0o700)
        self.assertRegex(self.fs.make_temp_file(dir=made, prefix="f-", suffix=".txt"), rf"^{made}/f-.+\.txt$")

    def test_handle(self):
        """an open file is read, written, sought, locked, flushed and measured"""
        fs, path = self.fs, f"{self.at}/handle"
        with fs.create(path) as file:
            self.assertEqual(file.write(b"hello world"), 11)
        opened = {"read": True, "write": True, "create": True, "truncate": False, "append": False, "create_new": False}
        with fs.open(path, mode=0o600, **opened) as file:
            self.assertEqual(file.seek(6, io.SEEK_SET), 6)
            self.assertEqual(file.read(5), b"world")
            self.assertEqual(file.seek(-1, io.SEEK_END), 10)
            self.assertEqual(file.seek(0, io.SEEK_CUR), 10)
            file.lock(True)
            file.unlock()
            file.truncate(5)
            file.sync()
            file.sync_data()
            file.utime(1_600_000_000, 1_600_000_000)
            info = file.stat()
            self.assertEqual((info["size"], info["mtime"][:19]), (5, "2020-09-13T12:26:40"))
        self.assertEqual(fs.read_text_file(path), "hello")

    def test_walk_options(self):
        """walks and globs keep to their options"""
        fs, at = self.fs, self.at
        fs.mkdir(f"{at}/sub/deep", recursive=True)
        for name in ["a.ts", "B.JS", "sub/c.ts"]:
            fs.write_text_file(f"{at}/{name}", "")
        fs.symlink("a.ts", f"{at}/link.ts")

        def walk(**options):
            return sorted(entry["path"][len(at) :] for entry in fs.walk(at, **options))

        only = {"include_dirs": False, "include_symlinks": False}
        self.assertEqual(walk(max_depth=1, include_files=True, **only), ["/B.JS", "/a.ts"])
        self.assertEqual(walk(exts=[".ts"], follow_symlinks=False, canonicalize=False, **only), ["/a.ts", "/sub/c.ts"])

        def expand(glob, **options):
            return [entry["path"][len(at) :] for entry in fs.expand_glob(glob, root=at, **options)]

        self.assertEqual(expand("*.js", case_insensitive=True), ["/B.JS"])
        self.assertEqual(expand("**/*.ts", exclude=["sub"], globstar=True, extended=True), ["/a.ts", "/link.ts"])
        quiet = {"include_dirs": False, "follow_symlinks": False, "canonicalize": False}
        self.assertEqual(expand("s*", **quiet), [])

    def test_large(self):
        """a file beyond what the SDK takes in one message is an error, and is read in parts"""
        path = f"{self.at}/large"
        self.fs.write_file(path, [b"x" * 65536] * 20)
        with self.assertRaisesRegex(Exception, "1 MiB"):
            self.fs.read_file(path)
        with self.fs.open(path) as file:
            self.assertEqual(len(file.read(262144)), 262144)

    def test_upload(self):
        """a tree of this machine is uploaded, with its links"""
        with tempfile.TemporaryDirectory() as local:
            os.makedirs(f"{local}/project/sub")
            with open(f"{local}/project/sub/file", "w") as file:
                file.write("content")
            os.symlink("sub/file", f"{local}/project/link")
            self.fs.upload(f"{local}/project", f"{self.at}/project")
        self.assertEqual(self.fs.read_text_file(f"{self.at}/project/link"), "content")
