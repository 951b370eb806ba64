package dbusapi_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/internal/orintest"
)

// idling is how long the service is watched doing nothing.
const idling = 60 * time.Second

// The aim for memory at rest, in kilobytes.
const restingMemory = 15 << 10

// runtimeCalls are what Go's runtime does by itself (runtime/proc.go): sysmon, its monitor thread, wakes once in a minute, looks for
// something to do for one nanosleep, and sleeps again in a futex with that timeout.
var runtimeCalls = regexp.MustCompile(`^(nanosleep\(\{tv_sec=0, tv_nsec=[0-9]+\}, NULL\) = 0` +
	`|futex\(0x[0-9a-f]+, FUTEX_WAIT_PRIVATE, 0, \{tv_sec=60, tv_nsec=0\}.*|.* = -1 ETIMEDOUT \(Connection timed out\))$`)

// TestIdle: while nothing happens, from 10 s after the start on, no timer of ours fires and nothing of ours runs. SWUpdate is there and
// idle, a client listens, and an update was installed before.
func TestIdle(t *testing.T) {
	r := newRig(t)
	folder := r.path("run/swupdate")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	idle, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(folder, "swupdateprog"), Net: "unix"})
	if err == nil {
		err = idle.SetDeadline(time.Now().Add(20 * time.Second))
	}
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	r.start()
	if _, err := idle.Accept(); err != nil {
		t.Fatal(err)
	}
	m := orintest.StartMonitor(t, r.monitor("--json"))
	r.run("tegra-bup", "install", r.capsule("36.4.3"))
	m.Until("UpdateState", "staged")
	time.Sleep(10 * time.Second)

	pid := r.slotd.Process.Pid
	before := processorTime(t, pid)
	ours, theirs := r.traced(func() { time.Sleep(idling) })
	// Go's scavenger gives memory back at its own pace after a collection (runtime/mgcscavenge.go); it ends, and then it is quiet.
	for n := 0; n < 3 && strings.Contains(strings.Join(ours, "\n"), "MADV_DONTNEED"); n++ {
		before = processorTime(t, pid)
		ours, theirs = r.traced(func() { time.Sleep(idling) })
	}
	if len(ours) > 0 {
		t.Errorf("tegra-slotd woke up:\n%s", strings.Join(ours, "\n"))
	}
	used := processorTime(t, pid) - before
	if used > 1 { // one tick of 10 ms, which may be strace's doing
		t.Errorf("%d ticks of processor time", used)
	}
	memory := resident(t, pid)
	if memory > restingMemory {
		t.Errorf("%d kB are resident, more than %d", memory, restingMemory)
	}
	// It still lives, and strace shows it.
	active, _ := r.traced(func() {
		r.run("tegra-bootctl", "activate")
		m.Until("NextSlot", "B")
	})
	if len(active) == 0 {
		t.Error("strace does not see what tegra-slotd does")
	}
	orintest.Publish(t, "slotd-idle", fmt.Sprintf("tegra-slotd, idle for %v: %d system calls of its own (aim 0), %d of Go's runtime, "+
		"%d ticks of processor time (aim 0), %d kB resident (aim %d)\n", idling, len(ours), theirs, used, memory, restingMemory))
}

// traced returns the system calls that tegra-slotd makes meanwhile.
func (r *rig) traced(meanwhile func()) (ours []string, theirs int) {
	r.t.Helper()
	file := filepath.Join(r.tmp, "strace")
	trace := exec.Command("strace", "-f", "-o", file, "-p", fmt.Sprint(r.slotd.Process.Pid))
	var said orintest.Log
	trace.Stderr = &said
	if err := trace.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.wait("strace", func() bool { return strings.Contains(said.String(), "attached") })
	meanwhile()
	if err := trace.Process.Signal(syscall.SIGINT); err != nil {
		r.t.Fatal(err)
	}
	_ = trace.Wait() // it ends with the signal that it got
	return systemCalls(r.t, file)
}

// systemCalls reads what strace wrote: calls that were entered, by whose they are. What was under way before it came does not count, and
// is not shown as entered.
func systemCalls(t *testing.T, file string) (ours []string, theirs int) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	blocked := map[string]bool{} // threads whose first line shows the call that they were in
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		pid, call, _ := strings.Cut(line, " ")
		call = strings.TrimSpace(call)
		switch {
		case !blocked[pid] && strings.HasSuffix(call, "<unfinished ...>") || !blocked[pid] && strings.HasSuffix(call, "<detached ...>"):
		case strings.HasSuffix(call, "<detached ...>") && !strings.Contains(call, "tv_sec=60"):
		case runtimeCalls.MatchString(strings.TrimSuffix(call, " <detached ...>")):
			theirs++
		default:
			ours = append(ours, line)
		}
		blocked[pid] = true
	}
	if len(blocked) == 0 {
		t.Fatal("strace saw no thread")
	}
	return ours, theirs
}

// processorTime is what a process has used, in ticks of 10 ms (proc(5), utime and stime).
func processorTime(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err1 != nil || err2 != nil {
		t.Fatalf("cannot read %q", b)
	}
	return user + system
}

// resident is a process's VmRSS in kilobytes.
func resident(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`).FindStringSubmatch(string(b))
	if m == nil {
		t.Fatalf("no VmRSS:\n%s", b)
	}
	n, _ := strconv.Atoi(m[1])
	return n
}
