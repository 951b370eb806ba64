package release

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/go-playground/validator/v10"

	"github.com/tegra-ota/tegra-ota/swdesc/spelling"
)

// validate adds what breaks a rule: first those of single values, from the struct tags, then those between values.
func (r *Release) validate(s *schema) {
	for i, c := range r.Components {
		s.names[fmt.Sprintf("component[%d]", i)] = c.File
	}
	var broken validator.ValidationErrors
	if err := rules.Struct(r); errors.As(err, &broken) {
		for _, b := range broken {
			s.add(strings.TrimPrefix(b.Namespace(), "Release."), "%s", reason(b))
		}
	}
	r.crossCheck(s)
}

// rules knows the struct tags, with texts.go's for strings.
var rules = func() *validator.Validate {
	v := validator.New(validator.WithRequiredStructEnabled())
	v.RegisterTagNameFunc(func(f reflect.StructField) string { return f.Tag.Get("toml") })
	for tag, rule := range texts {
		rule := rule
		if err := v.RegisterValidation(tag, func(l validator.FieldLevel) bool { return rule(l.Field().String()) == "" }); err != nil {
			panic(err) // only for an empty tag
		}
	}
	return v
}()

const needsOne = "is missing: a release needs at least one"

// reason says which rule a value breaks.
func reason(b validator.FieldError) string {
	value := fmt.Sprintf("%q", fmt.Sprint(b.Value()))
	if len(value) > 200 {
		value = strings.ToValidUTF8(value[:200], "") + "..."
	}
	if rule, ok := texts[b.Tag()]; ok {
		return value + " " + rule(fmt.Sprint(b.Value()))
	}
	list := b.Kind() == reflect.Slice
	switch b.Tag() {
	case "required":
		if list {
			return needsOne
		}
		return "is missing or empty"
	case "oneof":
		return value + " " + oneOf(fmt.Sprint(b.Value()), strings.Fields(b.Param()))
	case "unique":
		return "must not name one thing twice"
	case "min":
		if list {
			return needsOne
		}
		return fmt.Sprintf("= %v is too small, the least is %s", b.Value(), b.Param())
	case "max":
		switch b.Kind() {
		case reflect.Slice:
			return "is too long, the most is " + b.Param() + " entries"
		case reflect.String:
			return "is too long, the most is " + b.Param() + " characters"
		}
		return fmt.Sprintf("= %v is too large, the most is %s", b.Value(), b.Param())
	}
	return value + " breaks the rule " + b.Tag()
}

func oneOf(value string, known []string) string {
	text := "must be one of " + strings.Join(known, ", ")
	if name := spelling.Closest(value, known); name != "" {
		text += fmt.Sprintf("; did you mean %q?", name)
	}
	return text
}
