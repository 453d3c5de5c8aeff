// Package conformance runs the conformance suite of the Gateway API, as it was released, against a server that speaks
// the dialect of Kubernetes. It decides only what the suite leaves to whoever runs it: the profiles, the features, the
// encoding, and where results go. All flags of the suite work after -args.
package conformance

import (
	"bufio"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/gateway-api/conformance"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
	"sigs.k8s.io/gateway-api/pkg/features"
)

var (
	featuresFile = flag.String("features", "",
		"file with one feature on each line; without it they are those of the GatewayClass")
	resultsFile = flag.String("results", "",
		"file that gets a line of JSON for each test when it ends")
)

// claimed are the profiles of a gateway. Those of meshes want sidecars.
var claimed = []suite.ConformanceProfileName{
	suite.GatewayHTTPConformanceProfileName,
	suite.GatewayGRPCConformanceProfileName,
	suite.GatewayTLSConformanceProfileName,
	suite.GatewayTCPConformanceProfileName,
	suite.GatewayUDPConformanceProfileName,
}

func TestConformance(t *testing.T) {
	options := conformance.DefaultOptions(t)
	speakJSON(t, &options)
	if len(options.ConformanceProfiles) == 0 {
		options.ConformanceProfiles = claimed
	}
	if *featuresFile != "" {
		names, unknown, err := readFeatures(*featuresFile)
		if err != nil {
			t.Fatal(err)
		}
		if len(unknown) > 0 {
			t.Logf("features that this suite does not know: %s", strings.Join(unknown, ", "))
		}
		options.SupportedFeatures = names
	}
	if *resultsFile != "" {
		book, err := openBook(*resultsFile)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := book.file.Close(); err != nil {
				t.Error(err)
			}
		})
		options.Hook = book.enter
	}
	conformance.RunConformanceWithOptions(t, options)
}

// speakJSON makes every client of the suite send and ask for JSON. The suite makes new clients from the configuration
// before each test, and would send the core kinds in protobuf otherwise.
func speakJSON(t *testing.T, options *suite.ConformanceOptions) {
	t.Helper()
	config := options.RestConfig
	config.ContentType = runtime.ContentTypeJSON
	config.AcceptContentTypes = runtime.ContentTypeJSON
	var err error
	if options.Client, err = client.New(config, options.ClientOptions); err != nil {
		t.Fatal(err)
	}
	if options.Clientset, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
}

// readFeatures reads names, one on each line; empty lines and lines that begin with # do not count. Features of later
// versions of the suite are told apart.
func readFeatures(path string) (names []features.FeatureName, unknown []string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	known := features.SetsToNamesSet(features.AllFeatures)
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if name := features.FeatureName(line); known.Has(name) {
			names = append(names, name)
		} else {
			unknown = append(unknown, line)
		}
	}
	return names, unknown, lines.Err()
}

// book takes down what became of each test.
type book struct {
	file *os.File
	// Tests that may run beside others end at the same time.
	mutex sync.Mutex
	start time.Time
}

// entry is what became of one test.
type entry struct {
	Test     string                 `json:"test"`
	Result   string                 `json:"result"`
	Seconds  float64                `json:"endedAfterSeconds"`
	Features []features.FeatureName `json:"features"`
}

func openBook(path string) (*book, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return &book{file: file, start: time.Now()}, nil
}

// enter is the suite's hook after each test. It runs inside the test, which knows by then what became of it.
func (b *book) enter(t *testing.T, test suite.ConformanceTest, _ *suite.ConformanceTestSuite) {
	result := "passed"
	if t.Failed() {
		result = "failed"
	} else if t.Skipped() {
		result = "skipped"
	}
	b.mutex.Lock()
	defer b.mutex.Unlock()
	line := entry{test.ShortName, result, time.Since(b.start).Seconds(), test.Features}
	if err := json.NewEncoder(b.file).Encode(line); err != nil {
		t.Errorf("results: %v", err)
	}
}
