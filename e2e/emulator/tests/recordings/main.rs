//! What a real cluster answered, asked of the emulated one: status, shape and words of each recorded exchange.

mod compare;
mod exchange;
mod scenes;

use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::compare::difference;
use crate::scenes::Stage;

/// Exchanges that are not reproduced, with the reason.
const OUT_OF_SCOPE: &[(&str, usize, &str)] = &[
    (
        "01-cfg-unknown-object",
        5,
        "the stream of HTTP/2 was reset, which happens to a few of a hundred answers",
    ),
    ("08-cfg-key-size-limit", 4, "the same"),
    ("10-cfg-values", 31, "the size told of a value with references is that after their resolution"),
    ("50-svc-config", 25, "the words of the documentation of a keyword"),
    ("50-svc-config", 26, "the documentation of all keywords"),
];

#[test]
fn recorded_exchanges_are_reproduced() -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings");
    let mut names: Vec<String> = std::fs::read_dir(folder)?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".json").map(ToOwned::to_owned))
        .collect();
    names.sort();
    if let Ok(only) = std::env::var("IGW_RECORDING") {
        names.retain(|name| name.starts_with(&only));
    }
    let mut different = Vec::new();
    let mut n_exchanges = 0;
    for (n, name) in names.iter().enumerate() {
        let stage = Stage::start(name, 60 + 4 * u8::try_from(n)?)?;
        for exchange in exchange::read(name)? {
            if OUT_OF_SCOPE.iter().any(|(of, at, _)| of == name && *at == exchange.at) {
                continue;
            }
            n_exchanges += 1;
            let answer = stage.play(&exchange).with_context(|| format!("{name} #{}", exchange.at))?;
            if let Some(words) = difference(&exchange, &answer, &stage.dns()) {
                different
                    .push(format!("{name} #{} {} {}\n{words}", exchange.at, exchange.method, exchange.path));
            }
        }
    }
    println!("{n_exchanges} exchanges, {} out of scope", OUT_OF_SCOPE.len());
    ensure!(different.is_empty(), "{} of {n_exchanges} differ:\n{}", different.len(), different.join("\n"));
    Ok(())
}
