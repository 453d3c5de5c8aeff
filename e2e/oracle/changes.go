package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strings"
)

// changes tells how a tree became another: "+path=value" for what is new, "-path" for what is gone, "~path=value" for
// what is different.
func changes(from, to any) []string {
	var out []string
	compare("spec", from, to, &out)
	return out
}

func compare(path string, from, to any, out *[]string) {
	if was, ok := from.(object); ok {
		if is, ok := to.(object); ok {
			names := map[string]bool{}
			for name := range was {
				names[name] = true
			}
			for name := range is {
				names[name] = true
			}
			sorted := make([]string, 0, len(names))
			for name := range names {
				sorted = append(sorted, name)
			}
			sort.Strings(sorted)
			for _, name := range sorted {
				below := path + "." + name
				before, isBefore := was[name]
				after, isAfter := is[name]
				switch {
				case !isAfter:
					*out = append(*out, "-"+below)
				case !isBefore:
					*out = append(*out, "+"+below+"="+text(after))
				default:
					compare(below, before, after, out)
				}
			}
			return
		}
	}
	if was, ok := from.([]any); ok {
		if is, ok := to.([]any); ok && len(was) == len(is) {
			for index := range was {
				compare(fmt.Sprintf("%s[%d]", path, index), was[index], is[index], out)
			}
			return
		}
	}
	if !reflect.DeepEqual(from, to) {
		*out = append(*out, "~"+path+"="+text(to))
	}
}

func text(value any) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err.Error()
	}
	return strings.TrimSuffix(out.String(), "\n")
}
