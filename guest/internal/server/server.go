// Package server answers the calls of the host: it reads their parameters, which are checked here once and for all,
// and hands them to those who know.
package server

import (
	"encoding/base64"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"sbx.dev/agent/internal/accounts"
	"sbx.dev/agent/internal/boot"
	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/files"
	"sbx.dev/agent/internal/jsonlite"
	"sbx.dev/agent/internal/link"
	"sbx.dev/agent/internal/proc"
	"sbx.dev/agent/internal/usage"
	"sbx.dev/agent/internal/wire"
)

// Version is what the agent says of itself.
const Version = "1"

// warmPath is the search path of the commands that a template runs, the one that sandboxes use.
const warmPath = "/home/app/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// warmDirectory is where they run, as what sandboxes run does.
const warmDirectory = "/home/app"

// defaultMask is the file mode creation mask of a new sandbox.
const defaultMask = 0o022

// Machine is what the agent does to the machine it runs on. The development mode has another one.
type Machine interface {
	// Resume makes a clone itself and returns the boot id.
	Resume(entropy []byte, unixNs int64, hostname, machineID string) (string, error)
	// Prepare brings the machine into the state that a template keeps. run runs a command and waits for it.
	Prepare(diskBytes uint64, run func(argv []string)) error
	SetClock(unixNs int64) error
	// HoldProcesses tells the user's processes to stand still; wait waits until they do. LetProcessesGo has them go on.
	HoldProcesses() (wait func(), err error)
	LetProcessesGo() error
	// Trust makes the machine trust certificate authorities.
	Trust(roots []boot.Root) error
	// PowerOff stops everything and tells done before the end.
	PowerOff(done func())
	Identity(user string) (*accounts.Identity, error)
	MemoryTotal() uint64
	// Processes returns how many processes the user has, OOMKills how many were killed for want of memory.
	Processes() int
	OOMKills() uint64
}

// Server holds the state behind the calls.
type Server struct {
	machine Machine
	procs   *proc.Manager
	mask    *files.Mask
	log     func(string)
	methods map[string]method
	// fileSlots has room for one entry for each call on files that runs.
	fileSlots chan struct{}
	trees     trees

	mu       sync.Mutex
	handles  map[*link.Session]*files.Handles
	prepared bool
	resumed  bool
	bootID   string
}

// method starts a call on the reading goroutine: it reads params, opens streams and returns what is left to be done,
// which runs on a goroutine of its own. A nil function means that everything was done.
type method func(c *link.Call, r *jsonlite.Reader) (func(), error)

// New makes a Server. log writes to the machine's console.
func New(machine Machine, procs *proc.Manager, log func(string)) *Server {
	s := &Server{
		machine: machine, procs: procs, log: log,
		mask:      files.NewMask(defaultMask),
		fileSlots: make(chan struct{}, maxFileCalls),
		handles:   map[*link.Session]*files.Handles{},
	}
	s.methods = map[string]method{
		"info": s.info, "prepare": s.prepare, "resume": s.resume, "clock": s.clock, "sync": s.sync,
		"poweroff": s.powerOff, "stats": s.stats, "trust": s.trust, "detach": s.detach, "attach": s.attach,
		"exec": s.exec, "sftp": s.sftp, "wait": s.wait, "kill": s.kill, "resize": s.resize,
		"fs.readFile": s.readFile, "fs.writeFile": s.writeFile, "fs.walk": s.walk, "fs.umask": s.umask,
		"fs.open": s.open, "copy.send": s.copySend, "copy.receive": s.copyReceive,
		"dial": s.dial, "listening": s.listening,
	}
	for name, work := range s.fileMethods() {
		s.methods[name] = s.fileMethod(name, work)
	}
	for name, work := range handleMethods {
		s.methods[name] = s.handleMethod(name, work)
	}
	for name, work := range s.folderMethods() {
		s.methods[name] = work
	}
	for name, work := range s.volumeMethods() {
		s.methods[name] = work
	}
	return s
}

// early are the calls that are accepted before resume.
var early = map[string]bool{"info": true, "prepare": true, "resume": true, "poweroff": true}

// Handle is the link.Handler.
func (s *Server) Handle(c *link.Call, name string, r *jsonlite.Reader) error {
	m := s.methods[name]
	if m == nil {
		return errno.New(errno.Unsupported, "unknown call "+strconv.Quote(name))
	}
	if !early[name] && !s.isResumed() {
		return errno.New(errno.Protocol, name+" before resume")
	}
	work, err := m(c, r)
	if err != nil {
		return err
	}
	if work != nil {
		go func() {
			defer s.rescue(c, name)
			work()
		}()
	}
	return nil
}

// rescue keeps a fault in one call from taking PID 1, and the machine, with it.
func (s *Server) rescue(c *link.Call, name string) {
	if fault := recover(); fault != nil {
		s.log("sbx-agent: fault in " + name + ": " + describe(fault) + "\n" + string(debug.Stack()))
		c.Error(errno.New("EIO", "the agent failed in "+name))
	}
}

func describe(fault any) string {
	switch v := fault.(type) {
	case error:
		return v.Error()
	case string:
		return v
	}
	return "unknown"
}

func (s *Server) isResumed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.resumed
}

// Hello returns the payload of the agent's HELLO.
func Hello() []byte {
	o := jsonlite.NewObject(nil)
	o.Int("protocol", wire.Protocol)
	o.String("agent", Version)
	o.String("arch", runtime.GOARCH)
	o.String("kernel", kernelRelease())
	return o.Close()
}

func kernelRelease() string {
	var u syscall.Utsname
	if syscall.Uname(&u) != nil {
		return ""
	}
	var out []byte
	for _, c := range u.Release {
		if c == 0 {
			break
		}
		out = append(out, byte(c))
	}
	return string(out)
}

// invalid is the error for parameters that are not what the protocol says.
func invalid(r *jsonlite.Reader) error {
	if err := r.End(); err != nil {
		return errno.New("EINVAL", "bad parameters: "+err.Error())
	}
	return nil
}

func (s *Server) info(c *link.Call, r *jsonlite.Reader) (func(), error) {
	s.mu.Lock()
	bootID, prepared := s.bootID, s.prepared
	s.mu.Unlock()
	o := jsonlite.NewObject(nil)
	o.String("agent", Version)
	o.String("kernel", kernelRelease())
	o.String("arch", runtime.GOARCH)
	o.String("bootId", bootID)
	o.Int("memoryTotal", int64(s.machine.MemoryTotal()))
	o.Bool("prepared", prepared)
	c.OK(o.Close())
	return nil, nil
}

func (s *Server) prepare(c *link.Call, r *jsonlite.Reader) (func(), error) {
	var diskBytes int64
	r.Object(func(key string) {
		if key == "diskBytes" {
			diskBytes = r.Int(0, 1<<53)
		}
	})
	if err := invalid(r); err != nil {
		return nil, err
	}
	return func() {
		if err := s.machine.Prepare(uint64(diskBytes), s.runQuietly); err != nil {
			c.Error(err)
			return
		}
		s.mu.Lock()
		s.prepared = true
		s.mu.Unlock()
		c.Null()
	}, nil
}

// warmLimit is how long such a command may take. It is there for speed and must not keep a template from being made.
const warmLimit = time.Minute

// runQuietly runs a command as the ordinary user and waits for it.
func (s *Server) runQuietly(argv []string) {
	id, err := s.machine.Identity("app")
	if err != nil {
		return
	}
	leader, done := 0, make(chan struct{})
	env := []string{"PATH=" + warmPath, "HOME=/nonexistent", "LANG=C.UTF-8"}
	dir := warmDirectory
	if _, err := os.Stat(dir); err != nil {
		dir = "/"
	}
	err = s.procs.Start(&proc.Spec{Argv: argv, Env: env, Dir: dir, Identity: id}, func(pid int) { leader = pid })
	if err == nil {
		_, err = s.procs.Wait(leader, func(proc.Status) { close(done) })
	}
	if err != nil {
		return
	}
	late := time.AfterFunc(warmLimit, func() { _ = s.procs.Kill(leader, syscall.SIGKILL, true) })
	<-done
	late.Stop()
}

func (s *Server) resume(c *link.Call, r *jsonlite.Reader) (func(), error) {
	var entropy, hostname, machineID string
	var unixNs int64
	r.Object(func(key string) {
		switch key {
		case "entropy":
			entropy = r.String()
		case "unixNs":
			unixNs = nanoseconds(r)
		case "hostname":
			hostname = r.String()
		case "machineId":
			machineID = r.String()
		}
	})
	if err := invalid(r); err != nil {
		return nil, err
	}
	seed, err := base64.StdEncoding.DecodeString(entropy)
	if err != nil {
		return nil, errno.New("EINVAL", "entropy is not base64")
	}
	return func() {
		bootID, err := s.machine.Resume(seed, unixNs, hostname, machineID)
		if err == nil {
			// A copy of a machine that was in use.
			err = s.machine.LetProcessesGo()
		}
		if err != nil {
			c.Error(err)
			return
		}
		s.mu.Lock()
		s.resumed, s.bootID = true, bootID
		s.mu.Unlock()
		o := jsonlite.NewObject(nil)
		o.String("bootId", bootID)
		c.OK(o.Close())
	}, nil
}

// nanoseconds reads a time that is too large for a JSON number.
func nanoseconds(r *jsonlite.Reader) int64 {
	text := r.String()
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || v < 0 {
		r.Fail(errno.New("EINVAL", "not a time in nanoseconds: "+strconv.Quote(text)))
	}
	return v
}

func (s *Server) clock(c *link.Call, r *jsonlite.Reader) (func(), error) {
	var unixNs int64
	r.Object(func(key string) {
		if key == "unixNs" {
			unixNs = nanoseconds(r)
		}
	})
	if err := invalid(r); err != nil {
		return nil, err
	}
	return nil, finish(c, s.machine.SetClock(unixNs))
}

// finish answers a call that returns nothing.
func finish(c *link.Call, err error) error {
	if err != nil {
		return err
	}
	c.Null()
	return nil
}

func (s *Server) trust(c *link.Call, r *jsonlite.Reader) (func(), error) {
	var roots []boot.Root
	r.Object(func(key string) {
		if key == "roots" {
			r.Array(func() { roots = append(roots, readRoot(r)) })
		}
	})
	if err := invalid(r); err != nil {
		return nil, err
	}
	return func() {
		if err := s.machine.Trust(roots); err != nil {
			c.Error(err)
			return
		}
		c.Null()
	}, nil
}

func readRoot(r *jsonlite.Reader) boot.Root {
	var root boot.Root
	r.Object(func(key string) {
		switch key {
		case "name":
			root.Name = r.String()
		case "pem":
			root.PEM = r.String()
		case "hash":
			root.Hash = r.String()
		}
	})
	return root
}

// detach prepares for a copy of this machine, in which a new session begins: processes stand still until the copy is
// itself, or until attach. The answer also tells the host that everything was read that it wrote before.
func (s *Server) detach(c *link.Call, _ *jsonlite.Reader) (func(), error) {
	// At once: an attach may be on its way already.
	c.Session().Detach(true)
	wait, err := s.machine.HoldProcesses()
	if err != nil {
		return nil, err
	}
	return func() {
		wait()
		c.Null()
	}, nil
}

// attach undoes detach in the machine that was copied.
func (s *Server) attach(c *link.Call, _ *jsonlite.Reader) (func(), error) {
	c.Session().Detach(false)
	return nil, finish(c, s.machine.LetProcessesGo())
}

func (s *Server) sync(c *link.Call, _ *jsonlite.Reader) (func(), error) {
	return func() {
		syscall.Sync()
		c.Null()
	}, nil
}

func (s *Server) powerOff(c *link.Call, _ *jsonlite.Reader) (func(), error) {
	return func() {
		s.machine.PowerOff(func() {
			c.Null()
			c.Session().Flush()
		})
	}, nil
}

// stats answers with figures of the whole machine and, on request, with its busiest processes.
func (s *Server) stats(c *link.Call, r *jsonlite.Reader) (func(), error) {
	var processes int64
	r.Object(func(key string) {
		if key == "processes" {
			processes = r.Int(0, usage.MaxProcesses)
		}
	})
	if err := invalid(r); err != nil {
		return nil, err
	}
	return func() {
		m := usage.Measure()
		o := jsonlite.NewObject(nil)
		o.Int("memoryTotal", int64(s.machine.MemoryTotal()))
		o.Int("memoryAvailable", memoryAvailable())
		o.Int("processes", int64(s.machine.Processes()))
		o.Int("oomKills", int64(s.machine.OOMKills()))
		o.Int("cpuMs", m.CPUMs)
		o.Int("diskTotal", m.DiskTotal)
		o.Int("diskUsed", m.DiskUsed)
		if processes > 0 {
			o.Key("busiest")
			appendProcesses(o, usage.Busiest(int(processes)))
		}
		c.OK(o.Close())
	}, nil
}

func appendProcesses(o *jsonlite.Object, processes []usage.Process) {
	o.Out = append(o.Out, '[')
	for i, p := range processes {
		if i > 0 {
			o.Out = append(o.Out, ',')
		}
		one := jsonlite.NewObject(o.Out)
		one.Int("pid", int64(p.PID))
		one.Int("uid", int64(p.UID))
		one.String("name", p.Name)
		one.String("state", string(rune(p.State)))
		one.Int("cpuMs", p.CPUMs)
		one.Int("windowMs", p.WindowMs)
		one.Int("rss", p.RSS)
		o.Out = one.Close()
	}
	o.Out = append(o.Out, ']')
}

// memoryAvailable returns the kernel's estimate in bytes, 0 if it gives none.
func memoryAvailable() int64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(b), "\n") {
		f := strings.Fields(line)
		if len(f) >= 2 && f[0] == "MemAvailable:" {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n * 1024
		}
	}
	return 0
}
