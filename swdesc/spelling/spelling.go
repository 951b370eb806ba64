// Package spelling finds the name that somebody meant: of an attribute that SWUpdate would silently ignore, or of a key.
package spelling

import "strings"

// longest is the length from which no name is compared: all known ones are shorter.
const longest = 40

// Closest returns the known name that a misspelt one is nearest to, or "" if none is near: at most two letters missing, added,
// wrong or swapped, one in a short name, three in a long one. Case does not count, nor whether words are joined by -, _ or a blank.
func Closest(name string, known []string) string {
	if len(name) > longest {
		return ""
	}
	best, limit := "", 2
	switch {
	case len(name) < 4:
		limit = 1
	case len(name) > 9:
		limit = 3
	}
	for _, k := range known {
		if d := distance(plain(name), plain(k)); d <= limit && k != name {
			best, limit = k, d-1
		}
	}
	return best
}

var joiner = strings.NewReplacer("_", "-", " ", "-")

func plain(s string) string { return joiner.Replace(strings.ToLower(s)) }

// distance counts the edits between two names, a swap of neighbours as one.
func distance(a, b string) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row := rows[(i+1)%3], rows[(i-1)%3], rows[i%3]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return rows[len(a)%3][len(b)]
}
