package cli

import (
	"encoding/binary"
	"os"
)

// Process returns the Env of the running process.
func Process(args []string) Env {
	return Env{Args: args, Getenv: os.Getenv, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Elevated: elevated()}
}

// elevated says whether the kernel started this process with more privilege than its caller: set-user-ID, set-group-ID or file
// capabilities, all of which set AT_SECURE (getauxval(3)). If that cannot be read the answer is yes.
func elevated() bool {
	const (
		atSecure = 23
		word     = 8
	)
	b, err := os.ReadFile("/proc/self/auxv")
	if err != nil {
		return true
	}
	for i := 0; i+2*word <= len(b); i += 2 * word {
		if binary.NativeEndian.Uint64(b[i:]) == atSecure {
			return binary.NativeEndian.Uint64(b[i+word:]) != 0
		}
	}
	return true
}
