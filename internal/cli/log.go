package cli

import (
	"bytes"
	"fmt"
	"io"
	"sort"

	"github.com/sirupsen/logrus"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

func newLog(w io.Writer, format, level string) (*logrus.Logger, error) {
	log := logrus.New()
	log.SetOutput(w)
	l, err := logrus.ParseLevel(level)
	if err != nil {
		return nil, fail.New(fail.Usage, "cannot set the log level: %w", err)
	}
	log.SetLevel(l)
	switch format {
	case "text":
		log.SetFormatter(plain{})
	case "json":
		log.SetFormatter(&logrus.JSONFormatter{})
	case "journal":
		log.SetFormatter(plain{priorities: true})
	default:
		return nil, fail.New(fail.Usage, "cannot log as %q: the formats are text, json and journal", format)
	}
	return log, nil
}

// report prints a call's last word, its error, in the log's shape: systemd's journal shows an error without a priority as a notice.
func (c *common) report(w io.Writer, program, message string) {
	if c.logFormat == "json" || c.logFormat == "journal" {
		if log, err := newLog(w, c.logFormat, "error"); err == nil {
			log.WithField("executable", program).Error(message)
			return
		}
	}
	fmt.Fprintf(w, "%s: %s\n", program, message)
}

// plain prints a line a person reads; with priorities it starts with <N>, which systemd's journal takes as syslog
// priority (sd-daemon(3)).
type plain struct{ priorities bool }

var priorities = map[logrus.Level]int{
	logrus.PanicLevel: 2, logrus.FatalLevel: 2, logrus.ErrorLevel: 3, logrus.WarnLevel: 4,
	logrus.InfoLevel: 6, logrus.DebugLevel: 7, logrus.TraceLevel: 7,
}

// Format implements logrus.Formatter.
func (p plain) Format(e *logrus.Entry) ([]byte, error) {
	var b bytes.Buffer
	if p.priorities {
		fmt.Fprintf(&b, "<%d>", priorities[e.Level])
	}
	if name, ok := e.Data["executable"]; ok {
		fmt.Fprintf(&b, "%v: ", name)
	}
	if e.Level <= logrus.WarnLevel && !p.priorities {
		fmt.Fprintf(&b, "%s: ", e.Level)
	}
	b.WriteString(e.Message)
	keys := make([]string, 0, len(e.Data))
	for k := range e.Data {
		if k != "executable" {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	for _, k := range keys {
		fmt.Fprintf(&b, " %s=%v", k, e.Data[k])
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}
