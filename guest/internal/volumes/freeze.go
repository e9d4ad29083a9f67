package volumes

import (
	"path/filepath"
	"syscall"
	"time"

	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/sys"
)

const (
	fiFreeze = 0xc0045877
	fiThaw   = 0xc0045878
)

// stillness is a file system that stands still. The descriptor was opened before: nothing is looked up meanwhile.
type stillness struct {
	fd    int
	timer *time.Timer
}

// Freeze makes the file system at path stand still, with everything on the disk that was written so far: whoever writes
// waits. It goes on by itself after some time, so that a host that is gone leaves no machine like this.
func (m *Manager) Freeze(path string, limit time.Duration) error {
	path = filepath.Clean(path)
	fd, err := m.open(path)
	if err != nil {
		return err
	}
	// Most of the work, while everybody may still write.
	_ = sys.SyncFS(fd)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.frozen[path] != nil {
		syscall.Close(fd)
		return &errno.Error{Code: "EBUSY", Message: "it stands still already", Path: path}
	}
	if len(m.frozen) == 0 {
		sys.Writing.Lock()
	}
	if err := m.ioctl(fd, fiFreeze); err != nil {
		if len(m.frozen) == 0 {
			sys.Writing.Unlock()
		}
		syscall.Close(fd)
		return errno.At(err, path)
	}
	still := &stillness{fd: fd}
	m.frozen[path] = still
	still.timer = time.AfterFunc(limit, func() { _ = m.thaw(path, still) })
	return nil
}

// Thaw lets a file system go on. That it went on by itself meanwhile is an error: the host has to know.
func (m *Manager) Thaw(path string) error {
	path = filepath.Clean(path)
	m.mu.Lock()
	still := m.frozen[path]
	m.mu.Unlock()
	if still == nil {
		return &errno.Error{Code: "EINVAL", Message: "it does not stand still", Path: path}
	}
	return m.thaw(path, still)
}

func (m *Manager) thaw(path string, still *stillness) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.frozen[path] != still {
		return &errno.Error{Code: "EINVAL", Message: "it does not stand still", Path: path}
	}
	still.timer.Stop()
	err := m.ioctl(still.fd, fiThaw)
	syscall.Close(still.fd)
	delete(m.frozen, path)
	if len(m.frozen) == 0 {
		sys.Writing.Unlock()
	}
	return errno.At(err, path)
}

// open opens what is mounted at a path that may stand still, wherever the machine's user has taken it since.
func (m *Manager) open(path string) (int, error) {
	const flags = syscall.O_RDONLY | syscall.O_DIRECTORY | syscall.O_CLOEXEC
	if path == "/" {
		fd, err := syscall.Open(path, flags, 0)
		return fd, errno.At(err, path)
	}
	disk, there := m.mounted(path)
	if !there {
		return -1, notMounted(path)
	}
	places := []string{disk.target}
	for _, one := range mountsIn(ownMounts) {
		if one.device == deviceName(disk.number) {
			places = append(places, one.path)
		}
	}
	for _, place := range places {
		fd, err := syscall.Open(place, flags, 0)
		if err != nil {
			continue
		}
		var st syscall.Stat_t
		if err := syscall.Fstat(fd, &st); err == nil && st.Dev == disk.number {
			return fd, nil
		}
		syscall.Close(fd)
	}
	return -1, notMounted(path)
}
