package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sbx.dev/agent/internal/sftp"
	"sbx.dev/agent/internal/testhost"
)

var sftpInit = []byte{0, 0, 0, 5, 1, 0, 0, 0, 3}

func TestAnSFTPServerIsAProcessLikeAnyOther(t *testing.T) {
	h, dir := startAgent(t), t.TempDir()
	in, out := h.Writable(), h.Readable()
	params := testhost.Params{
		"env": testhost.Params{"HOME": dir}, "cwd": dir, "user": "app", "stdin": in.ID, "stdout": out.ID, "stderr": nil,
	}
	var started struct{ PID int }
	must(t, h.Call("sftp", params, &started))
	// INIT and a REALPATH of ".".
	_, err := in.Write(append(sftpInit, 0, 0, 0, 10, 16, 0, 0, 0, 1, 0, 0, 0, 1, '.'))
	must(t, err)
	first, err := out.Next()
	must(t, err)
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", started.PID))
	if err != nil || string(name) != "sftp-server\n" {
		t.Errorf("%q, %v", name, err)
	}
	must(t, in.End())
	answers, err := out.All()
	must(t, err)
	answers = append(first, answers...)
	if !bytes.Contains(answers, []byte("limits@openssh.com")) || !bytes.Contains(answers, []byte(dir)) {
		t.Fatalf("%q", answers)
	}
	if exit := wait(t, h, started.PID); exit.Code != 0 || exit.Signal != nil {
		t.Fatalf("%+v", exit)
	}
}

func TestAnSFTPServerThatIsSentSomethingElseSaysSoAndEnds(t *testing.T) {
	h := startAgent(t)
	in, out, errs := h.Writable(), h.Readable(), h.Readable()
	params := testhost.Params{"cwd": "/", "user": "app", "stdin": in.ID, "stdout": out.ID, "stderr": errs.ID}
	var started struct{ PID int }
	must(t, h.Call("sftp", params, &started))
	_, err := in.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	must(t, err)
	said, err := errs.All()
	must(t, err)
	if exit := wait(t, h, started.PID); exit.Code != 1 || !strings.Contains(string(said), "not a packet") {
		t.Fatalf("%+v, %q", exit, said)
	}
}

func TestTheCallForAnSFTPServerStartsNothingElse(t *testing.T) {
	h := startAgent(t)
	for name, more := range map[string]testhost.Params{
		"argv": {"argv": []string{"true"}}, "pty": {"pty": testhost.Params{"cols": 80, "rows": 24}},
		"extra": {"extra": []testhost.Params{{"fd": 3, "read": 99}}},
	} {
		in, out := h.Writable(), h.Readable()
		params := testhost.Params{"cwd": "/", "user": "app", "stdin": in.ID, "stdout": out.ID}
		for key, value := range more {
			params[key] = value
		}
		if err := h.Call("sftp", params, nil); code(err) != "EINVAL" {
			t.Error(name, err)
		}
	}
	in, out := h.Writable(), h.Readable()
	params := testhost.Params{"cwd": "/no/such", "user": "app", "stdin": in.ID, "stdout": out.ID}
	if err := h.Call("sftp", params, nil); code(err) != "ENOENT" || !strings.Contains(err.Error(), "/no/such") {
		t.Error(err)
	}
}

// openSSH runs a program of OpenSSH's that starts the server itself, without ssh, and returns what it said.
func openSSH(t *testing.T, dir, input, program string, args ...string) (string, error) {
	t.Helper()
	server := filepath.Join(dir, "server")
	script := fmt.Sprintf("#!/bin/sh\nexec '%s' %s\n", os.Args[0], sftp.Option)
	must(t, os.WriteFile(server, []byte(script), 0o755))
	command := exec.Command(program, append([]string{"-D", server}, args...)...)
	command.Dir = dir
	command.Stdin = strings.NewReader(input)
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	err := command.Run()
	return said.String(), err
}

// batch runs commands of sftp, which must succeed.
func batch(t *testing.T, dir string, commands ...string) string {
	t.Helper()
	said, err := openSSH(t, dir, strings.Join(commands, "\n")+"\n", "sftp", "-q", "-b", "-")
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	return said
}

// makeTree makes files of many kinds and returns what describe says of it.
func makeTree(t *testing.T, root string) map[string]string {
	t.Helper()
	must(t, os.MkdirAll(root+"/empty", 0o755))
	must(t, os.MkdirAll(root+"/deep/er/still", 0o750))
	for i, name := range []string{
		"plain", "with blank", "-dash", "ünï", "*?[x]", "q\"uo'te", "back\\slash", "new\nline", "\xff\xfe",
		"deep/er/still/file", strings.Repeat("n", 255), "~", "#",
	} {
		content := make([]byte, i*997)
		_, _ = rand.Read(content)
		file := filepath.Join(root, name)
		must(t, os.WriteFile(file, content, 0o600|fs.FileMode(i%8)))
		stamp := time.Unix(1_500_000_000+int64(i), 0)
		must(t, os.Chtimes(file, stamp, stamp))
	}
	return describe(t, root)
}

// describe maps the files below a directory to modes, times and contents.
func describe(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	must(t, filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		what := info.Mode().String()
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			what += fmt.Sprintf(" %x %d", sha256.Sum256(content), info.ModTime().Unix())
		}
		all[strings.TrimPrefix(file, root)] = what
		return nil
	}))
	return all
}

func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name, what := range want {
		if got[name] != what {
			t.Errorf("%q is %q, not %q", name, got[name], what)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d files, not %d", len(got), len(want))
	}
}

func TestOpenSSHPutsAndGetsATree(t *testing.T) {
	dir := t.TempDir()
	tree := makeTree(t, dir+"/tree")
	must(t, os.Mkdir(dir+"/there", 0o755))
	batch(t, dir, "put -pR tree there/", "get -pR there/tree back")
	same(t, describe(t, dir+"/there/tree"), tree)
	same(t, describe(t, dir+"/back"), tree)
	if said, err := openSSH(t, dir, "", "scp", "-q", "-pr", "tree", "any:copied"); err != nil {
		t.Fatal(err, said)
	}
	same(t, describe(t, dir+"/copied"), tree)
	if said, err := openSSH(t, dir, "", "scp", "-q", "-pr", "any:copied", "again"); err != nil {
		t.Fatal(err, said)
	}
	same(t, describe(t, dir+"/again"), tree)
}

func TestOpenSSHCarriesALargeFileAndGoesOnAfterABreak(t *testing.T) {
	dir := t.TempDir()
	content := make([]byte, 30<<20+12345)
	_, _ = rand.Read(content)
	file := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.WriteFile(file("big"), content, 0o644))
	for _, name := range []string{"put", "reput", "get", "reget"} {
		if strings.HasPrefix(name, "re") {
			must(t, os.WriteFile(file(name), content[:10<<20+1], 0o644))
		}
	}
	batch(t, dir, "put big put", "reput big reput", "get big get", "reget big reget", "cp big copied")
	for _, name := range []string{"put", "reput", "get", "reget", "copied"} {
		got, err := os.ReadFile(file(name))
		must(t, err)
		if sha256.Sum256(got) != sha256.Sum256(content) {
			t.Errorf("%s has another content", name)
		}
	}
}

func TestOpenSSHManagesFiles(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/file", []byte("content"), 0o644))
	said := batch(t, dir,
		"pwd", "mkdir sub", "rename file sub/moved", "ln sub/moved sub/hard", "ln -s moved sub/soft", "chmod 640 sub/hard",
		fmt.Sprintf("chown %d sub/hard", os.Getuid()), fmt.Sprintf("chgrp %d sub/hard", os.Getgid()), "df -h sub",
		"ls -l sub", "ls -ln sub", "cd sub", "pwd", "rm hard", "cd ..", "mkdir gone", "rmdir gone", "-get nothing")
	here, err := filepath.EvalSymlinks(dir)
	must(t, err)
	for _, line := range []string{
		"Remote working directory: " + here + "\n", "Remote working directory: " + here + "/sub\n", "%Capacity", "-rw-r-----",
		"lrwxrwxrwx",
	} {
		if !strings.Contains(said, line) {
			t.Errorf("no %q in %s", line, said)
		}
	}
	same(t, describe(t, dir+"/sub"), map[string]string{
		"": "drwxr-xr-x", "/soft": "Lrwxrwxrwx", "/moved": describe(t, dir+"/sub")["/moved"],
	})
	if content, _ := os.ReadFile(dir + "/sub/soft"); string(content) != "content" {
		t.Errorf("%q", content)
	}
}
