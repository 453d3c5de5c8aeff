//! `igw-origin NAME ADDRESS`: an HTTP back end that says its name and what it was asked. It runs until it is stopped.

use anyhow::Context as _;
use igw_e2e::origin::Origin;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().context("usage: igw-origin NAME ADDRESS")?;
    let address = arguments.next().context("usage: igw-origin NAME ADDRESS")?.parse()?;
    let _origin = Origin::start(&name, address)?;
    loop {
        std::thread::park();
    }
}
