//! Plays kubelet and endpoint controller: Deployments become pods, Services with a selector get an EndpointSlice.
//!
//! It knows the server by its dialect of Kubernetes alone, and acts on the whole latest state ten times a second: what
//! it has started is compared with what is written, and the difference is made. A pod is published when its ports are
//! bound, as Ready; one whose Secret or ConfigMap is missing waits for it. Pods of a Deployment that changed are not
//! replaced, because the suite changes none.

mod addresses;
mod controller;
mod logs;
mod manifests;
mod server;
mod slices;

pub use addresses::Addresses;
pub use controller::Controller;
pub use logs::Logs;
pub use server::Server;
