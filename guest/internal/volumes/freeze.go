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
	target, err := m.targetOf(path)
	if err != nil {
		return err
	}
	fd, err := syscall.Open(target, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return errno.At(err, path)
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

// targetOf returns where a path that may stand still really is.
func (m *Manager) targetOf(path string) (string, error) {
	if path == "/" {
		return path, nil
	}
	disk, there := m.mounted(path)
	if !there {
		return "", notMounted(path)
	}
	return disk.target, nil
}
