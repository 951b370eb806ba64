package cli

// Text returns the value of a string flag that the verb itself declared; "" of any other.
func (in *Invocation) Text(name string) string {
	v, _ := in.Flags.GetString(name)
	return v
}

// Set says whether a flag without a value, which the verb itself declared, was given.
func (in *Invocation) Set(name string) bool {
	v, _ := in.Flags.GetBool(name)
	return v
}

// List returns the values of a flag that may be repeated.
func (in *Invocation) List(name string) []string {
	v, _ := in.Flags.GetStringArray(name)
	return v
}
