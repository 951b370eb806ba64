package syntax_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

// judge is testdata/judge.c, running: libconfig's own parser. Without gcc and libconfig-dev these tests fail.
type judge struct {
	in           io.Writer
	out          *bufio.Reader
	major, minor int // of libconfig
}

func startJudge(t *testing.T) *judge {
	t.Helper()
	program := filepath.Join(t.TempDir(), "judge")
	if out, err := exec.Command("gcc", "-o", program, "testdata/judge.c", "-lconfig").CombinedOutput(); err != nil {
		t.Fatalf("this test needs gcc and libconfig-dev: %v\n%s", err, out)
	}
	cmd := exec.Command(program)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the judge ended with %v", err)
		}
	})
	j := &judge{in: in, out: bufio.NewReader(out)}
	if _, err := fmt.Fscanf(j.out, "%d %d\n", &j.major, &j.minor); err != nil {
		t.Fatal(err)
	}
	return j
}

// read returns the settings that libconfig reads, or why it refuses.
func (j *judge) read(t fataler, text []byte) (settings []string, refused string) {
	t.Helper()
	if _, err := fmt.Fprintf(j.in, "%d\n%s", len(text), text); err != nil {
		t.Fatalf("the judge does not listen: %v", err)
	}
	for {
		line, err := j.out.ReadString('\n')
		if err != nil {
			t.Fatalf("the judge does not answer to %q: %v", text, err)
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			return settings, refused
		}
		if strings.HasPrefix(line, "refused") {
			refused = line
			continue
		}
		settings = append(settings, line)
	}
}

// stricter says whether an error is one of those where we refuse on purpose what this libconfig may accept.
func (j *judge) stricter(problem string) bool {
	reasons := []string{"@include", "has no end", "NUL byte", "does not fit in 64 bits", "it keeps 32 bits", "no digits beside its point",
		"is too large", "levels deep", "leading zero"}
	if j.minor < 7 {
		reasons = append(reasons, "one of the integers") // an array in which a number without L is beyond 32 bits
	} else {
		reasons = append(reasons, "was expected, not ','") // a list with two commas in a row
	}
	for _, reason := range reasons {
		if strings.Contains(problem, reason) {
			return true
		}
	}
	return false
}

// differs says whether this libconfig is known to read a text with such caveats in another way, or to refuse it.
func (j *judge) differs(caveats string) bool {
	return j.minor < 7 && strings.Contains(caveats, "libconfig 1.5") || j.minor >= 8 && strings.Contains(caveats, "since 1.8")
}

// compare is the rule for every text: both refuse it, or both read the same; the exceptions are those that the package documents.
// It returns whether both read it.
func (j *judge) compare(t fataler, text []byte) bool {
	t.Helper()
	settings, refused := j.read(t, text)
	v, err := syntax.ParseLibconfig(text)
	caveats := fmt.Sprint(syntax.Caveats(text))
	switch {
	case err != nil && refused == "":
		if !j.stricter(err.Error()) {
			t.Fatalf("libconfig 1.%d reads, ParseLibconfig refuses %q: %v", j.minor, text, err)
		}
	case err == nil && j.differs(caveats):
	case err == nil && refused != "":
		t.Fatalf("libconfig 1.%d refuses, ParseLibconfig reads %q: %s", j.minor, text, refused)
	case err == nil:
		if diff := cmp.Diff(settings, flatten(v)); diff != "" {
			t.Fatalf("libconfig (-) and ParseLibconfig (+) read %q in different ways:\n%s", text, diff)
		}
		return true
	}
	return false
}

func TestLibconfigAgrees(t *testing.T) {
	j := startJudge(t)
	for _, text := range libconfigGood {
		if !j.compare(t, []byte(text)) {
			t.Errorf("%q is not read by both", text)
		}
	}
	for _, text := range append(append(libconfigSeeds(), jsonSeeds()...), longTexts()...) {
		j.compare(t, []byte(text))
	}
	for _, c := range libconfigBad {
		_, refused := j.read(t, []byte(c.text))
		if accepted := j.stricter(c.problem) && !c.refused; j.minor < 7 && (refused == "") != accepted {
			t.Errorf("libconfig on %q: %q; accepted on purpose: %t", c.text, refused, accepted)
		}
		j.compare(t, []byte(c.text))
	}
	for _, c := range libconfigCaveats {
		settings, refused := j.read(t, []byte(c.text))
		if want := j.minor < 7 && (strings.Contains(c.problem, "refuse") || c.refused); (refused != "") != want {
			t.Errorf("libconfig 1.%d on %q: %q", j.minor, c.text, refused)
		}
		_, number, found := strings.Cut(strings.Split(c.problem, ", because")[0], " as -")
		if got := fmt.Sprint(settings); j.minor < 7 && refused == "" && found && !strings.HasSuffix(got, "int -"+number+"]") {
			t.Errorf("libconfig 1.%d reads %q as %s, we say as -%s", j.minor, c.text, got, number)
		}
		j.compare(t, []byte(c.text))
	}
}

// Every printed tree is read by libconfig, and as that tree.
func TestLibconfigReadsPrinted(t *testing.T) {
	j := startJudge(t)
	rapid.Check(t, func(t *rapid.T) {
		text := printLibconfig(t, libconfigGrammar.group(t, 4))
		if !j.compare(t, text) {
			t.Fatalf("libconfig does not read\n%s", text)
		}
	})
}

var words = append(strings.Fields(`a b c-1 * true False = : ; , { } [ ] ( ) 1 -2 +3L 4LL 0x1f 0X2L 2147483648
	-2147483649 99999999999999999999 0xffffffff 0xffffffffffffffffL 0 00 010 -07L 08 x1 .5 1. . 1e3 -1.5E-3 1e 1e999
	e5 - + L "s" "\x41\n" "\q\" " \ # /* / @include`),
	" ", "\n", "# c\n", "// c\n", "/* c */", "\x00", "\x80", "\v", "\r", "\f", "\t")

// Texts that are nearly libconfig: words in any order, and printed trees with a few words put in or bytes taken out.
func TestLibconfigAgreesOnNonsense(t *testing.T) {
	j := startJudge(t)
	t.Run("words", rapid.MakeCheck(func(t *rapid.T) {
		draw := func(n int, between string) string {
			return strings.Join(rapid.SliceOfN(rapid.SampledFrom(words), 0, n).Draw(t, "words"), between)
		}
		j.compare(t, []byte("a=1;"+draw(9, "")))
		j.compare(t, []byte("a=("+draw(3, "")+")"))
		j.compare(t, []byte("a=["+draw(5, ",")+"]"))
	}))
	t.Run("damaged", rapid.MakeCheck(func(t *rapid.T) {
		text := string(printLibconfig(t, libconfigGrammar.group(t, 3)))
		for i := rapid.IntRange(1, 3).Draw(t, "mistakes"); i > 0; i-- {
			from := rapid.IntRange(0, len(text)).Draw(t, "from")
			to := min(from+rapid.IntRange(0, 3).Draw(t, "taken out"), len(text))
			text = text[:from] + rapid.SampledFrom(append(words, "")).Draw(t, "word") + text[to:]
		}
		j.compare(t, []byte(text))
	}))
}
