//! Owners of fields, held to a model: writers at random, by a seed that is printed.

mod house;

use std::collections::{BTreeMap, BTreeSet};

use house::House;
use serde_json::{Value, json};

/// What a field is and whose.
#[derive(Clone, Debug, PartialEq)]
struct Field {
    value: String,
    owners: BTreeSet<String>,
}

/// What the server should hold.
#[derive(Clone, Debug, Default)]
struct Model {
    fields: BTreeMap<String, Field>,
}

/// A small generator: the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

impl Model {
    /// Applies fields; false if that is a conflict.
    fn apply(&mut self, manager: &str, wanted: &BTreeMap<String, String>, is_forced: bool) -> bool {
        let is_conflict = |(key, value): (&String, &String)| {
            self.fields.get(key).is_some_and(|field| {
                field.value != *value && field.owners.iter().any(|owner| owner != manager)
            })
        };
        if !is_forced && wanted.iter().any(is_conflict) {
            return false;
        }
        for (key, value) in wanted {
            let field = self
                .fields
                .entry(key.clone())
                .or_insert_with(|| Field { value: value.clone(), owners: BTreeSet::new() });
            if field.value != *value {
                field.owners.clear();
                field.value.clone_from(value);
            }
            field.owners.insert(manager.to_owned());
        }
        self.fields.retain(|key, field| {
            let was_own = !wanted.contains_key(key) && field.owners.remove(manager);
            !(was_own && field.owners.is_empty())
        });
        true
    }

    /// Sets one field by other means than applying.
    fn update(&mut self, manager: &str, key: &str, value: &str) {
        if self.fields.get(key).is_none_or(|field| field.value != value) {
            let owners = BTreeSet::from([manager.to_owned()]);
            self.fields.insert(key.to_owned(), Field { value: value.to_owned(), owners });
        }
    }

    fn remove(&mut self, key: &str) {
        self.fields.remove(key);
    }

    fn values(&self) -> Value {
        self.fields
            .iter()
            .map(|(key, field)| (key.clone(), field.value.clone().into()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

#[tokio::test]
async fn owners_are_those_of_the_model() -> anyhow::Result<()> {
    for seed in 1..=8 {
        println!("seed {seed}");
        let house = House::start().await?;
        let mut dice = Dice(seed);
        let mut model = Model::default();
        let path = "/api/v1/namespaces/shop/configmaps/m";
        // An owner from the beginning, so that the object stays whatever the others do.
        let base = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "labels": {"kept": "yes"}}});
        house.apply(path, "base", &base).await?.expect(201);
        let (mut n_conflicts, mut n_taken) = (0, 0);
        for _ in 0..120 {
            let key = format!("k{}", dice.roll(4));
            match dice.roll(8) {
                0 => {
                    let value = dice.roll(3).to_string();
                    model.update("editor", &key, &value);
                    house
                        .merge(&format!("{path}?fieldManager=editor"), &json!({"data": {&key: value}}))
                        .await?
                        .expect(200);
                }
                1 => {
                    model.remove(&key);
                    house
                        .merge(&format!("{path}?fieldManager=editor"), &json!({"data": {&key: null}}))
                        .await?
                        .expect(200);
                }
                _ => {
                    let manager = ["one", "two"][usize::try_from(dice.roll(2))?];
                    let n_fields = dice.roll(4);
                    let wanted: BTreeMap<String, String> = (0..n_fields)
                        .map(|_| (format!("k{}", dice.roll(4)), dice.roll(3).to_string()))
                        .collect();
                    let is_forced = dice.roll(3) == 0;
                    let mut wish =
                        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}});
                    if !wanted.is_empty() {
                        wish["data"] = json!(wanted);
                    }
                    let answer = house.apply(&format!("{path}?force={is_forced}"), manager, &wish).await?;
                    match model.apply(manager, &wanted, is_forced) {
                        true => {
                            answer.expect(200);
                            n_taken += 1;
                        }
                        false => {
                            answer.expect(409);
                            n_conflicts += 1;
                        }
                    }
                }
            }
            let held = house.get(path).await?.expect(200).value();
            let data = held.get("data").cloned().unwrap_or_else(|| json!({}));
            assert_eq!(data, model.values(), "seed {seed}: {model:?}");
            assert_eq!(held["metadata"]["labels"], json!({"kept": "yes"}));
        }
        assert!(n_conflicts > 3 && n_taken > 20, "seed {seed}: {n_conflicts} conflicts, {n_taken} taken");
    }
    Ok(())
}
