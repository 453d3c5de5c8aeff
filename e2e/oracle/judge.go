package main

import (
	"context"
	"fmt"
	"sort"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

type object = map[string]any

// question is one case: an object to be made, and writes after that.
type question struct {
	ID     string  `json:"id"`
	Object object  `json:"object"`
	Steps  []write `json:"steps"`
}

// write is one further write: a merge patch, or the whole object anew.
type write struct {
	Merge object `json:"merge"`
	Put   object `json:"put"`
}

// answer is what a server says to a case.
type answer struct {
	ID      string    `json:"id"`
	Unknown []string  `json:"unknown,omitempty"`
	Causes  []string  `json:"causes,omitempty"`
	Change  []string  `json:"change,omitempty"`
	Steps   []outcome `json:"steps,omitempty"`
}

// outcome is what a server says to a further write.
type outcome struct {
	Causes     []string `json:"causes,omitempty"`
	Generation int64    `json:"generation"`
}

func parseCase(line []byte) (*question, error) {
	// Numbers become int64 or float64, as in a server.
	var asked question
	if err := json.Unmarshal(line, &asked); err != nil {
		return nil, err
	}
	if asked.Object == nil {
		return nil, fmt.Errorf("a case without an object")
	}
	return &asked, nil
}

func judge(kinds map[string]*kind, asked *question) (*answer, error) {
	given := &unstructured.Unstructured{Object: asked.Object}
	named := given.GetAPIVersion() + "/" + given.GetKind()
	ready := kinds[named]
	if ready == nil {
		return nil, fmt.Errorf("no kind %s", named)
	}
	said := &answer{ID: asked.ID}
	made := given.DeepCopy()
	said.Unknown = ready.complete(made)
	ready.strategy.PrepareForCreate(context.Background(), made)
	if errs := ready.strategy.Validate(context.Background(), made); len(errs) > 0 {
		said.Causes = causes(errs)
		return said, nil
	}
	said.Change = changes(given.Object["spec"], made.Object["spec"])
	made.SetResourceVersion("1")
	for _, step := range asked.Steps {
		next := made.DeepCopy()
		if step.Put != nil {
			next.Object["spec"] = runtime.DeepCopyJSON(step.Put)["spec"]
		} else {
			merge(next.Object, runtime.DeepCopyJSON(step.Merge))
		}
		ready.complete(next)
		next.SetGeneration(made.GetGeneration())
		ready.strategy.PrepareForUpdate(context.Background(), next, made)
		errs := ready.strategy.ValidateUpdate(context.Background(), next, made)
		if len(errs) == 0 {
			made = next
		}
		said.Steps = append(said.Steps, outcome{Causes: causes(errs), Generation: made.GetGeneration()})
	}
	return said, nil
}

// complete removes what the kind does not have and adds defaults; it tells what it removed.
func (k *kind) complete(given *unstructured.Unstructured) []string {
	unknown := pruning.PruneWithOptions(given.Object, k.schema, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	defaulting.PruneNonNullableNullsWithoutDefaults(given.Object, k.schema)
	defaulting.Default(given.Object, k.schema)
	return unknown
}

// causes tells reason and field of every cause, each once.
func causes(errs field.ErrorList) []string {
	var out []string
	seen := map[string]bool{}
	for _, err := range errs {
		cause := strings.TrimPrefix(string(err.Type), "FieldValue") + " " + err.Field
		if !seen[cause] {
			seen[cause] = true
			out = append(out, cause)
		}
	}
	sort.Strings(out)
	return out
}

// merge applies a merge patch (RFC 7396).
func merge(into, patch object) {
	for name, value := range patch {
		inner, isObject := value.(object)
		switch {
		case value == nil:
			delete(into, name)
		case isObject:
			known, isThere := into[name].(object)
			if !isThere {
				known = object{}
				into[name] = known
			}
			merge(known, inner)
		default:
			into[name] = value
		}
	}
}
