//! A compile of 1,000 and 10,000 routes: from nothing, and after the edit of one of them.

use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use igw_compile::{Facts, ObjectSet, Stored, compile};
use igw_crds::yaml::read;
use jiff::Timestamp;

/// Objects of documents, each a second younger than the one before.
fn stored(documents: &str) -> Vec<Stored> {
    let reading = read("bench", documents);
    assert!(reading.diagnostics.is_empty(), "{:?}", reading.diagnostics);
    let objects = reading.documents.iter().map(|document| Arc::clone(&document.object));
    let aged = objects.enumerate().map(|(age, object)| Stored {
        object,
        uid: "".into(),
        created: Timestamp::from_second(age as i64).expect("a time"),
        generation: 1,
    });
    aged.collect()
}

fn route(index: usize, path: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r{index}}}\nspec:\n  \
         parentRefs: [{{name: main}}]\n  hostnames: [h{}.example.com]\n  rules:\n    \
         - matches: [{{path: {{value: {path}}}}}]\n      backendRefs: [{{name: web{}, port: 80}}]\n",
        index / 10,
        index % 100,
    )
}

/// Routes of one gateway, ten on each host, to a hundred services.
fn objects(n_routes: usize) -> ObjectSet {
    let mut documents = GATEWAY.to_owned();
    documents.extend((0..n_routes).map(|index| route(index, &format!("/p{index}"))));
    stored(&documents).into_iter().map(|one| (one.object.key.clone(), one)).collect()
}

fn passes(c: &mut Criterion) {
    let facts = Facts { cluster: "bench".into(), ..Facts::default() };
    for n_routes in [1_000_usize, 10_000] {
        let objects = objects(n_routes);
        assert_eq!(compile(&objects, &facts).snapshot.routes.len(), n_routes);
        let mut group = c.benchmark_group("compile");
        group.sample_size(20);
        group.bench_function(BenchmarkId::new("all", n_routes), |bencher| {
            bencher.iter_with_large_drop(|| compile(&objects, &facts));
        });
        let edits = ["/a", "/b"].map(|path| stored(&route(n_routes / 2, path)).remove(0));
        let mut next = 0;
        group.bench_function(BenchmarkId::new("one edit", n_routes), |bencher| {
            let edit = || {
                next += 1;
                let edit = edits[next % 2].clone();
                let mut objects = objects.clone();
                objects.insert(edit.object.key.clone(), edit);
                objects
            };
            bencher.iter_batched(edit, |objects| compile(&objects, &facts), BatchSize::LargeInput);
        });
        group.finish();
    }
}

const GATEWAY: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: main}
spec:
  gatewayClassName: igw
  listeners: [{name: web, port: 80, protocol: HTTP}]
";

criterion_group!(benches, passes);
criterion_main!(benches);
