// Command oracle says what a Kubernetes API server with the CRDs of the Gateway API does with objects.
//
// It reads cases as lines of JSON and writes one line for each: whether the object is taken, the causes against it
// if not, the fields that nobody knows, what defaults and pruning changed, and the generation after every further
// write. Nothing is served: the strategy of the server for custom resources is asked directly.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
)

func main() {
	folder := flag.String("crds", "", "folder of the CRDs")
	flag.Parse()
	if err := run(*folder); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(folder string) error {
	kinds, err := readKinds(folder)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, longestLine)
	out := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for lines.Scan() {
		asked, err := parseCase(lines.Bytes())
		if err != nil {
			return err
		}
		said, err := judge(kinds, asked)
		if err != nil {
			return fmt.Errorf("case %s: %w", asked.ID, err)
		}
		if err := encoder.Encode(said); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return out.Flush()
}

// longestLine bounds a case, in bytes.
const longestLine = 8 << 20
