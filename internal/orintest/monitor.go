package orintest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Line is one of `tegra-bootctl monitor --json`.
type Line struct {
	Time  string `json:"time"`
	Slot  string `json:"slot"` // "" for the manager's
	Name  string `json:"name"`
	Value any    `json:"value"`
}

// Text is a line's value in one line.
func (l Line) Text() string {
	b, _ := json.Marshal(l.Value) // it came from JSON
	return strings.Trim(string(b), `"`)
}

// Monitor is a running `tegra-bootctl monitor --json`, and all that it has printed.
type Monitor struct {
	t   *testing.T
	log Log

	mu    sync.Mutex
	lines []Line
	next  int // of Until
	grown chan struct{}
}

// StartMonitor runs c until the test ends. It fails the test if c prints what is no line, or ends by itself.
func StartMonitor(t *testing.T, c *exec.Cmd) *Monitor {
	t.Helper()
	m := &Monitor{t: t, grown: make(chan struct{}, 1)}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = &m.log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() { read <- m.read(bufio.NewScanner(out)) }()
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		if err := <-read; err != nil {
			t.Errorf("monitor: %v", err)
		}
		if err := c.Wait(); err != nil {
			t.Errorf("monitor ends: %v\n%s", err, m.log.String())
		}
	})
	return m
}

func (m *Monitor) read(lines *bufio.Scanner) error {
	for lines.Scan() {
		var l Line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil || l.Name == "" || l.Time == "" {
			return fmt.Errorf("%q is no line: %w", lines.Text(), err)
		}
		m.mu.Lock()
		m.lines = append(m.lines, l)
		m.mu.Unlock()
		select {
		case m.grown <- struct{}{}:
		default:
		}
	}
	return lines.Err()
}

// Until waits for a line behind those that earlier calls found: a name, and a value that begins with text.
func (m *Monitor) Until(name, text string) Line {
	m.t.Helper()
	limit := time.After(time.Minute)
	for {
		m.mu.Lock()
		for ; m.next < len(m.lines); m.next++ {
			if l := m.lines[m.next]; l.Name == name && strings.HasPrefix(l.Text(), text) {
				m.next++
				m.mu.Unlock()
				return l
			}
		}
		m.mu.Unlock()
		select {
		case <-m.grown:
		case <-limit:
			m.t.Fatalf("the monitor shows no %s %s:\n%s", name, text, m.String())
		}
	}
}

// Percentages are those of Progress, in order.
func (m *Monitor) Percentages() []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []int
	for _, l := range m.lines {
		if list, ok := l.Value.([]any); ok && l.Name == "Progress" && len(list) == 3 {
			percent, _ := list[0].(float64)
			all = append(all, int(percent))
		}
	}
	return all
}

// Values are those of a name that the manager has had, in order.
func (m *Monitor) Values(name string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []string
	for _, l := range m.lines {
		if l.Name == name && l.Slot == "" {
			all = append(all, l.Text())
		}
	}
	return all
}

// Last is the last value of every name, with the slot before it.
func (m *Monitor) Last() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[string]string{}
	for _, l := range m.lines {
		all[strings.TrimSpace(l.Slot+" "+l.Name)] = l.Text()
	}
	return all
}

// String is all that was printed.
func (m *Monitor) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	for _, l := range m.lines {
		fmt.Fprintf(&b, "%s %s %s %s\n", l.Time, l.Slot, l.Name, l.Text())
	}
	return b.String()
}
