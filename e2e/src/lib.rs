//! What scenarios need: real processes, name servers and back ends that can misbehave, a client that checks
//! every byte. Blocking and thread per connection: nothing here shares code with what it tests.

pub mod acme;
pub mod acme_double;
pub mod client;
pub mod collector;
pub mod datagram;
pub use igw_emulator::dns;
pub mod frames;
pub mod knot;
pub mod load;
pub mod objects;
pub mod ongoing;
pub mod openssl;
pub mod origin;
pub mod pace;
pub mod peer;
pub mod process;
pub mod raw;
pub mod stage;
pub mod tls;
pub mod usage;
