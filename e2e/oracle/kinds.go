package main

import (
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	crds "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresource"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/rest"
	"sigs.k8s.io/yaml"
)

// kind is one version of a kind, ready to judge.
type kind struct {
	schema   *structural.Structural
	strategy interface {
		rest.RESTCreateStrategy
		rest.RESTUpdateStrategy
	}
}

// readKinds makes every served version of every CRD in a folder ready, by "group/version/kind".
func readKinds(folder string) (map[string]*kind, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no CRDs in %q", folder)
	}
	kinds := map[string]*kind{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var crd crds.CustomResourceDefinition
		if err := yaml.Unmarshal(text, &crd); err != nil || crd.Kind != "CustomResourceDefinition" {
			// Policies of admission lie in the same folder.
			continue
		}
		for _, version := range crd.Spec.Versions {
			if !version.Served {
				continue
			}
			ready, err := newKind(&crd, &version)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			kinds[crd.Spec.Group+"/"+version.Name+"/"+crd.Spec.Names.Kind] = ready
		}
	}
	return kinds, nil
}

func newKind(crd *crds.CustomResourceDefinition, version *crds.CustomResourceDefinitionVersion) (*kind, error) {
	var props apiextensions.JSONSchemaProps
	if err := crds.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(version.Schema.OpenAPIV3Schema, &props, nil); err != nil {
		return nil, err
	}
	tree, err := structural.NewStructural(&props)
	if err != nil {
		return nil, err
	}
	whole, _, err := validation.NewSchemaValidator(&props)
	if err != nil {
		return nil, err
	}
	var status *apiextensions.CustomResourceSubresourceStatus
	if version.Subresources != nil && version.Subresources.Status != nil {
		status = &apiextensions.CustomResourceSubresourceStatus{}
	}
	named := schema.GroupVersionKind{Group: crd.Spec.Group, Version: version.Name, Kind: crd.Spec.Names.Kind}
	strategy := customresource.NewStrategy(runtime.NewScheme(), crd.Spec.Scope == crds.NamespaceScoped, named, whole, nil, tree, status, nil, nil)
	return &kind{schema: tree, strategy: strategy}, nil
}
