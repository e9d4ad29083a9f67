package proc

import (
	"os"
	"path"
	"strings"
	"syscall"

	"sbx.dev/agent/internal/accounts"
	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/link"
)

// defaultSearchPath is used when the environment has no PATH.
const defaultSearchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Size is that of a terminal, in characters.
type Size struct{ Cols, Rows uint16 }

// Spec is a process to be started. Streams that are nil are /dev/null.
type Spec struct {
	Argv []string
	// Program is what is executed if that is not what Argv begins with.
	Program  string
	Env      []string
	Dir      string
	Identity *accounts.Identity
	// PTY makes Stdin and Stdout a terminal's, and Stderr unused.
	PTY            *Size
	Stdin          *link.Consumer
	Stdout, Stderr *link.Producer
	Extra          []Extra
	// Lingers means that pipes are carried until nobody holds them any more, and not only until the leader has ended.
	Lingers bool
}

// Extra is a further descriptor of a process: a pipe, or a socket if it goes both ways.
type Extra struct {
	FD    int
	Read  *link.Producer
	Write *link.Consumer
}

// Start starts a process and tells started its pid before any of its output is sent.
func (m *Manager) Start(spec *Spec, started func(pid int)) error {
	if err := check(spec); err != nil {
		return err
	}
	io, err := m.openStreams(spec)
	if err != nil {
		return err
	}
	p := &process{pty: io.pty, lingers: spec.Lingers}
	if m.oom != nil {
		p.oomMark = m.oom.Count()
	}
	p.pending = 1 + len(io.outputs)
	p.outputs, p.inputs = io.outputs, io.inputs
	for _, out := range io.outputs {
		out.over = func() { m.settle(p) }
	}
	m.birth.RLock()
	p.pid, err = m.fork(spec, io.files)
	if err == nil {
		m.mu.Lock()
		m.procs[p.pid] = p
		m.born++
		m.some.Signal()
		m.mu.Unlock()
	}
	m.birth.RUnlock()
	if err != nil {
		io.abandon()
		return err
	}
	started(p.pid)
	io.closeChildEnds()
	for _, out := range io.outputs {
		go out.run()
	}
	for _, in := range io.inputs {
		go in.run()
	}
	return nil
}

func check(spec *Spec) error {
	if len(spec.Argv) == 0 || spec.Argv[0] == "" {
		return errno.New("ENOENT", "there is no command")
	}
	for _, words := range [][]string{spec.Argv, spec.Env, {spec.Dir}} {
		for _, s := range words {
			if strings.IndexByte(s, 0) >= 0 {
				return errno.New("EINVAL", "a NUL byte in an argument, a variable or the directory")
			}
		}
	}
	return nil
}

// fork finds the program and starts it.
func (m *Manager) fork(spec *Spec, files []uintptr) (int, error) {
	attr := &syscall.ProcAttr{Dir: spec.Dir, Env: spec.Env, Files: files, Sys: &syscall.SysProcAttr{Setsid: true}}
	if spec.PTY != nil {
		attr.Sys.Setctty, attr.Sys.Ctty = true, 0
	}
	if id := spec.Identity; !id.Current {
		attr.Sys.Credential = &syscall.Credential{Uid: id.UID, Gid: id.GID, Groups: id.Groups}
	}
	name := spec.Argv[0]
	if spec.Program != "" {
		name = spec.Program
	}
	if strings.Contains(name, "/") {
		pid, err := m.forkExec(name, spec.Argv, attr)
		return pid, explain(err, spec, name)
	}
	failure := error(syscall.ENOENT)
	for _, dir := range strings.Split(searchPath(spec.Env), ":") {
		file := path.Join(dir, name)
		if dir == "" {
			file = "./" + name
		}
		if !mayBeProgram(file, spec.Dir) {
			continue
		}
		pid, err := m.forkExec(file, spec.Argv, attr)
		switch err {
		case nil:
			return pid, nil
		case syscall.EACCES:
			failure = err
		case syscall.ENOENT, syscall.ENOTDIR:
			if dirError(spec) != nil {
				return 0, dirError(spec)
			}
			return 0, &errno.Error{Code: "ENOENT", Message: "the interpreter of the program does not exist", Path: file}
		default:
			return 0, explain(err, spec, file)
		}
	}
	return 0, explain(failure, spec, name)
}

// forkExec starts a program in the first control group that has room for it.
func (m *Manager) forkExec(file string, argv []string, attr *syscall.ProcAttr) (pid int, err error) {
	if m.groups == nil {
		return m.births.forkExec(file, argv, attr)
	}
	err = syscall.EAGAIN
	for index := 0; err == syscall.EAGAIN; index++ {
		fd, ok := m.groups.FD(index)
		if !ok {
			break
		}
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, fd
		pid, err = m.births.forkExec(file, argv, attr)
	}
	return pid, err
}

func searchPath(env []string) string {
	for i := len(env) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(env[i], "PATH="); ok {
			return value
		}
	}
	return defaultSearchPath
}

// mayBeProgram is a cheap look before an expensive fork. Whether the user may execute it is the kernel's to say.
func mayBeProgram(file, dir string) bool {
	if !path.IsAbs(file) {
		file = path.Join(dir, file)
	}
	var st syscall.Stat_t
	return syscall.Stat(file, &st) == nil && st.Mode&syscall.S_IFMT != syscall.S_IFDIR
}

// explain tells a missing directory from a missing program: the kernel's answer is the same.
func explain(err error, spec *Spec, file string) error {
	switch err {
	case nil:
		return nil
	case syscall.ENOENT, syscall.EACCES, syscall.ENOTDIR, syscall.ELOOP, syscall.ENAMETOOLONG:
		if dirErr := dirError(spec); dirErr != nil {
			return dirErr
		}
	}
	return errno.At(err, file)
}

// dirError checks the working directory as the user that would have it.
func dirError(spec *Spec) error {
	err := spec.Identity.Do(func() error {
		fd, err := syscall.Open(spec.Dir+"/.", oPath|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
		if err == nil {
			syscall.Close(fd)
		}
		return err
	})
	return errno.At(err, spec.Dir)
}

const oPath = 0x200000

// streams is the parent's side of everything that a process reads and writes.
type streams struct {
	files   []uintptr
	child   []int
	parent  []int
	pty     *terminal
	outputs []*output
	inputs  []*input
	// owner is who the process runs as.
	owner *accounts.Identity
}

func (s *streams) closeChildEnds() {
	for _, fd := range s.child {
		syscall.Close(fd)
	}
	s.child = nil
}

// abandon closes everything; the streams themselves are ended by whoever answers the call.
func (s *streams) abandon() {
	s.closeChildEnds()
	for _, fd := range s.parent {
		syscall.Close(fd)
	}
	if s.pty != nil {
		s.pty.close()
	}
}

// place puts a descriptor at a number of the child's.
func (s *streams) place(at, fd int) {
	for len(s.files) <= at {
		s.files = append(s.files, ^uintptr(0))
	}
	s.files[at] = uintptr(fd)
}

func (m *Manager) openStreams(spec *Spec) (s *streams, err error) {
	s = &streams{files: make([]uintptr, 0, 8), owner: spec.Identity}
	defer func() {
		if err != nil {
			s.abandon()
		}
	}()
	for fd := range 3 {
		s.place(fd, m.devNull)
	}
	if spec.PTY != nil {
		if err = s.openTerminal(spec); err != nil {
			return s, err
		}
	} else {
		if spec.Stdin != nil {
			if err = s.pipeIn(0, spec.Stdin); err != nil {
				return s, err
			}
		}
		if spec.Stdout != nil {
			if err = s.pipeOut(1, spec.Stdout); err != nil {
				return s, err
			}
		}
		if spec.Stderr != nil {
			if err = s.pipeOut(2, spec.Stderr); err != nil {
				return s, err
			}
		}
	}
	for _, x := range spec.Extra {
		if err = s.extra(x); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *streams) extra(x Extra) error {
	switch {
	case x.Read != nil && x.Write != nil:
		return s.socket(x)
	case x.Read != nil:
		return s.pipeOut(x.FD, x.Read)
	default:
		return s.pipeIn(x.FD, x.Write)
	}
}

func (s *streams) pipeOut(at int, p *link.Producer) error {
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC); err != nil {
		return errno.From(err)
	}
	s.give(ends[1])
	s.parent, s.child = append(s.parent, ends[0]), append(s.child, ends[1])
	s.place(at, ends[1])
	s.outputs = append(s.outputs, &output{fd: ends[0], producer: p})
	return nil
}

func (s *streams) pipeIn(at int, c *link.Consumer) error {
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC); err != nil {
		return errno.From(err)
	}
	s.give(ends[0])
	s.child, s.parent = append(s.child, ends[0]), append(s.parent, ends[1])
	s.place(at, ends[0])
	s.inputs = append(s.inputs, &input{fd: ends[1], consumer: c})
	return nil
}

// give makes a pipe the user's: a process may open its own pipes anew, as /dev/stderr or /dev/fd/3.
func (s *streams) give(fd int) {
	if !s.owner.Same() {
		_ = syscall.Fchown(fd, int(s.owner.UID), int(s.owner.GID))
	}
}

// socket makes a descriptor that goes both ways.
func (s *streams) socket(x Extra) error {
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return errno.From(err)
	}
	s.parent, s.child = append(s.parent, ends[0]), append(s.child, ends[1])
	second, err := dup(ends[0])
	if err != nil {
		return errno.From(err)
	}
	s.parent = append(s.parent, second)
	s.place(x.FD, ends[1])
	s.outputs = append(s.outputs, &output{fd: ends[0], producer: x.Read})
	s.inputs = append(s.inputs, &input{fd: second, consumer: x.Write, socket: true})
	return nil
}

func (s *streams) openTerminal(spec *Spec) error {
	t, slave, err := openTerminal(*spec.PTY, spec.Identity)
	if err != nil {
		return err
	}
	spec.Env = withKnownTerm(spec.Env)
	s.pty = t
	s.child = append(s.child, slave)
	for fd := range 3 {
		s.place(fd, slave)
	}
	if spec.Stdout != nil {
		spec.Stdout.Narrow(terminalWindowBytes)
		s.outputs = append(s.outputs, &output{terminal: t, producer: spec.Stdout})
	}
	if spec.Stdin != nil {
		s.inputs = append(s.inputs, &input{terminal: t, consumer: spec.Stdin})
	}
	return nil
}

func dup(fd int) (int, error) {
	n, _, e := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_DUPFD_CLOEXEC, 0)
	if e != 0 {
		return -1, e
	}
	return int(n), nil
}

// file wraps a descriptor for the runtime's poller.
func file(fd int, name string) *os.File {
	_ = syscall.SetNonblock(fd, true)
	return os.NewFile(uintptr(fd), name)
}
