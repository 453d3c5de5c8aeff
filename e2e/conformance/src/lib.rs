//! What the conformance suite of the Gateway API needs around a gateway, on one machine.
//!
//! The suite writes Deployments and Services and waits for Pods; it starts nothing itself. [`server`] takes what it
//! writes and gives it to igw, [`workloads`] turns Deployments into back ends, and [`echo`] is what those back ends do.
//! The latter two speak to the gateway as strangers would: over sockets, and over the dialect of Kubernetes.

pub mod echo;
mod query;
pub mod server;
pub mod workloads;
