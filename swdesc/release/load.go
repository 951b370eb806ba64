package release

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// MaxFile is the largest release description or manifest that is read, in bytes.
const MaxFile = 256 << 10

// Load reads a release description. Errors name file, line and column, all that is wrong at once; none of the components' files
// is opened.
func Load(path string) (*Release, error) {
	text, err := readSmall(path, "release", MaxFile)
	if err != nil {
		return nil, err
	}
	return Parse(path, text)
}

// readSmall reads a regular file that somebody named; what says what it is.
func readSmall(path, what string, limit int64) ([]byte, error) {
	st, err := os.Stat(path)
	if err == nil && !st.Mode().IsRegular() {
		err = errors.New("it is no regular file")
	}
	if err != nil {
		return nil, fail.New(fail.InputCode(err, fail.IO), "cannot read %s %s: %w", what, path, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fail.New(fail.InputCode(err, fail.IO), "cannot read %s %s: %w", what, path, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fail.New(fail.IO, "cannot read %s %s: %w", what, path, err)
	}
	if int64(len(text)) > limit {
		return nil, fail.New(fail.Data, "cannot read %s %s: it has more than %d bytes", what, path, limit)
	}
	return text, nil
}

// Parse reads a release description from memory. The name is for messages, and its folder becomes Base.
func Parse(name string, src []byte) (*Release, error) {
	if len(src) > MaxFile {
		return nil, fail.New(fail.Data, "cannot read release %s: it has more than %d bytes", name, MaxFile)
	}
	s := newSchema(name, "toml")
	tree, whole := tomlTree(src)
	if whole {
		s.check(tree, reflect.TypeOf(Release{}), "")
		if err := s.err("read release"); err != nil {
			return nil, err
		}
	}
	r := &Release{Base: filepath.Dir(name)}
	// Strict once more: what the tree should not show, the decoder does not take either.
	if err := toml.NewDecoder(bytes.NewReader(src)).DisallowUnknownFields().Decode(r); err != nil {
		return nil, decodeError(name, err)
	}
	if !whole { // cannot happen: the decoder takes no more than the parser it is made of
		return nil, fail.New(fail.Data, "cannot read release %s: its tables contradict each other", name)
	}
	r.complete()
	r.validate(s)
	if err := s.err("use release"); err != nil {
		return nil, err
	}
	return r, nil
}

// decodeError words what go-toml found: wrong syntax, a key given twice, a number out of range.
func decodeError(name string, err error) error {
	reason := strings.TrimPrefix(err.Error(), "toml: ")
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		line, column := decode.Position()
		return fail.New(fail.Data, "cannot read release %s:%d:%d: %s", name, line, column, reason)
	}
	return fail.New(fail.Data, "cannot read release %s: %s", name, reason)
}
