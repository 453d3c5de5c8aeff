//! What a reference of a route to a back end names, whatever the kind of the route.

use igw_crds::objects::ObjectKey;
use igw_crds::objects::grpc_route::GrpcBackendRef;
use igw_crds::objects::http_route::HttpBackendRef;
use igw_crds::objects::l4_route::L4BackendRef;
use igw_crds::objects::meta::BackendObjectReference;

/// What a backendRef names, with defaults.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Named<'o> {
    pub(crate) group: &'o str,
    pub(crate) kind: &'o str,
    pub(crate) namespace: &'o str,
    pub(crate) name: &'o str,
    pub(crate) port: Option<u16>,
}

/// A backendRef of some kind of route.
pub(crate) trait BackendReference {
    /// What it names in a route.
    fn named<'o>(&'o self, route: &'o ObjectKey) -> Named<'o>;
}

macro_rules! backend_reference {
    ($($kind:ty)*) => {$(
        impl BackendReference for $kind {
            fn named<'o>(&'o self, route: &'o ObjectKey) -> Named<'o> {
                let namespace = self.namespace.as_ref();
                Named {
                    group: self.group.as_str(),
                    kind: self.kind.as_str(),
                    namespace: namespace.map_or(&*route.namespace, |namespace| namespace.as_str()),
                    name: &self.name,
                    port: self.port.map(|port| port.as_u16()),
                }
            }
        }
    )*};
}

backend_reference!(HttpBackendRef GrpcBackendRef L4BackendRef BackendObjectReference);
