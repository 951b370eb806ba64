package nor

import "sync"

// chunk is how much of a Memory is kept or shared at once, in bytes.
const chunk = 4 << 10

// Memory is a chip's bytes in memory, as large as it needs to be; what was never written reads as erased. A copy shares what
// neither has changed since, so that a sweep can start each cut from the same large chip.
type Memory struct {
	mu     sync.Mutex
	chunks map[int64][]byte
	own    map[int64]bool // those that no copy shares
}

// NewMemory returns an erased memory.
func NewMemory() *Memory { return &Memory{chunks: map[int64][]byte{}, own: map[int64]bool{}} }

// Clone returns an independent copy.
func (m *Memory) Clone() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := NewMemory()
	for k, v := range m.chunks {
		c.chunks[k] = v
	}
	m.own = map[int64]bool{}
	return c
}

// ReadAt fills p.
func (m *Memory) ReadAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for done := 0; done < len(p); {
		at := off + int64(done)
		part := p[done:min(len(p), done+int(chunk-at%chunk))]
		if b := m.chunks[at/chunk]; b != nil {
			copy(part, b[at%chunk:])
		} else {
			for i := range part {
				part[i] = 0xff
			}
		}
		done += len(part)
	}
	return len(p), nil
}

// WriteAt replaces bytes; what a chip can do to them is the chip's business.
func (m *Memory) WriteAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for done := 0; done < len(p); {
		at := off + int64(done)
		part := p[done:min(len(p), done+int(chunk-at%chunk))]
		done += len(part)
		if erased(part) && m.chunks[at/chunk] == nil {
			continue
		}
		if len(part) == chunk && erased(part) {
			delete(m.chunks, at/chunk)
			continue
		}
		copy(m.writable(at / chunk)[at%chunk:], part)
	}
	return len(p), nil
}

func (m *Memory) writable(k int64) []byte {
	b := m.chunks[k]
	if b != nil && m.own[k] {
		return b
	}
	fresh := make([]byte, chunk)
	if b != nil {
		copy(fresh, b)
	} else {
		for i := range fresh {
			fresh[i] = 0xff
		}
	}
	m.chunks[k], m.own[k] = fresh, true
	return fresh
}

func erased(p []byte) bool {
	for _, b := range p {
		if b != 0xff {
			return false
		}
	}
	return true
}
