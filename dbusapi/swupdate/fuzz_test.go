package swupdate

import "testing"

// A zero and a count stand for so many zeros and one more in the inputs of the fuzzer, which takes a minute to shorten each new input
// of thousands of bytes.
func expand(short []byte) (b []byte) {
	for i := 0; i < len(short); i++ {
		b = append(b, short[i])
		if short[i] == 0 && i+1 < len(short) {
			i++
			b = append(b, make([]byte, short[i])...)
		}
	}
	return b
}

func shorten(b []byte) (short []byte) {
	for i := 0; i < len(b); i++ {
		short = append(short, b[i])
		if b[i] != 0 {
			continue
		}
		n := 0
		for ; n < 255 && i+1 < len(b) && b[i+1] == 0; n++ {
			i++
		}
		short = append(short, byte(n))
	}
	return short
}

// FuzzMessages: nothing panics, memory is bounded, and whatever comes, the events are in their order.
func FuzzMessages(f *testing.F) {
	for _, s := range servers {
		for _, m := range sample[:4] {
			all := join(s.greet(), s.encode(m), s.encode(sample[9]))
			short := shorten(all)
			if string(expand(short)) != string(all) {
				f.Fatal("the inputs are not what they stand for")
			}
			f.Add(short, uint16(2400))
		}
	}
	f.Fuzz(func(t *testing.T, short []byte, size uint16) {
		var d decoder
		var tr tracker
		running, percent := false, int32(0)
		for rest := expand(short); len(rest) > 0; {
			n := min(int(size)+1, len(rest))
			messages, err := d.feed(rest[:n])
			rest = rest[n:]
			for _, m := range messages {
				running, percent = checkEvents(t, tr.take(m), running, percent)
			}
			if err != nil {
				break
			}
			if len(d.buf) > unpacked.size+4 {
				t.Fatalf("%d bytes are kept", len(d.buf))
			}
		}
		checkEvents(t, tr.lost(wentAway), running, percent)
	})
}
