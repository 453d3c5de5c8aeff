"""A service of envoy.service.auth.v3 that was not written here: gRPC and Protocol Buffers are those of their authors. Prints
its port, runs until its input ends.

authorization_server.py ADDRESS [CERTIFICATE KEY]

It does what the field `x-do` of the request says: allow, deny, plain (a no that names nothing), slow, fail, nonsense, silent (a
message that says nothing).
"""

import sys
import threading
from concurrent import futures

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FIELD = descriptor_pb2.FieldDescriptorProto
TYPES = {"string": FIELD.TYPE_STRING, "bytes": FIELD.TYPE_BYTES, "int32": FIELD.TYPE_INT32, "int64": FIELD.TYPE_INT64,
         "uint32": FIELD.TYPE_UINT32, "bool": FIELD.TYPE_BOOL}

# As far as they are used here: name of a message, then name, number and type of its fields; `*` is any number of them.
MESSAGES = {
    "SocketAddress": [("address", 2, "string"), ("port_value", 3, "uint32")],
    "Address": [("socket_address", 1, "SocketAddress")],
    "Peer": [("address", 1, "Address"), ("principal", 4, "string")],
    "Timestamp": [("seconds", 1, "int64"), ("nanos", 2, "int32")],
    "Entry": [("key", 1, "string"), ("value", 2, "string")],
    "HttpRequest": [("id", 1, "string"), ("method", 2, "string"), ("headers", 3, "*Entry"), ("path", 4, "string"),
                    ("host", 5, "string"), ("scheme", 6, "string"), ("size", 9, "int64"), ("protocol", 10, "string"),
                    ("body", 11, "string"), ("raw_body", 12, "bytes")],
    "Request": [("time", 1, "Timestamp"), ("http", 2, "HttpRequest")],
    "AttributeContext": [("source", 1, "Peer"), ("destination", 2, "Peer"), ("request", 4, "Request")],
    "CheckRequest": [("attributes", 1, "AttributeContext")],
    "Status": [("code", 1, "int32"), ("message", 2, "string")],
    "HttpStatus": [("code", 1, "int32")],
    "HeaderValue": [("key", 1, "string"), ("value", 2, "string")],
    "BoolValue": [("value", 1, "bool")],
    "HeaderValueOption": [("header", 1, "HeaderValue"), ("append", 2, "BoolValue"), ("append_action", 3, "int32")],
    "QueryParameter": [("key", 1, "string"), ("value", 2, "string")],
    "OkHttpResponse": [("headers", 2, "*HeaderValueOption"), ("headers_to_remove", 5, "*string"),
                       ("response_headers_to_add", 6, "*HeaderValueOption"),
                       ("query_parameters_to_set", 7, "*QueryParameter"), ("query_parameters_to_remove", 8, "*string")],
    "DeniedHttpResponse": [("status", 1, "HttpStatus"), ("headers", 2, "*HeaderValueOption"), ("body", 3, "string")],
    "CheckResponse": [("status", 1, "Status"), ("denied_response", 2, "DeniedHttpResponse"),
                      ("ok_response", 3, "OkHttpResponse")],
}


def classes():
    file = descriptor_pb2.FileDescriptorProto(name="check.proto", package="check", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            label = FIELD.LABEL_REPEATED if kind.startswith("*") else FIELD.LABEL_OPTIONAL
            kind = kind.lstrip("*")
            added = message.field.add(name=field, number=number, label=label)
            if kind in TYPES:
                added.type = TYPES[kind]
            else:
                added.type = FIELD.TYPE_MESSAGE
                added.type_name = ".check." + kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    return {name: factory.GetPrototype(pool.FindMessageTypeByName("check." + name)) for name in MESSAGES}


CLASSES = classes()
OVER = threading.Event()


def entries(pairs):
    return [CLASSES["HeaderValueOption"](header={"key": key, "value": value}) for key, value in pairs]


def is_call(fields):
    return fields.get("content-type", "").startswith("application/grpc")


def allow(http, attributes, fields):
    answer = CLASSES["CheckResponse"](status={"code": 0})
    ok = answer.ok_response
    told = [("x-user", "alice"), ("x-saw", "%s %s %s" % (http.method, http.path, http.protocol)),
            ("x-saw-host", http.host), ("x-saw-size", str(http.size)), ("x-saw-id", http.id),
            ("x-saw-text", http.body[:1000]), ("x-saw-bytes", http.raw_body[:1000].hex()),
            ("x-saw-fields", " ".join(sorted(fields))), ("x-saw-cookie", fields.get("cookie", "")),
            ("x-saw-source", attributes.source.address.socket_address.address),
            ("x-saw-destination", "%s:%d" % (attributes.destination.address.socket_address.address,
                                             attributes.destination.address.socket_address.port_value))]
    ok.headers.extend(entries(told))
    ok.headers.add(header={"key": "x-list", "value": "more"}, append={"value": True})
    ok.headers.add(header={"key": "x-kept", "value": "service"}, append_action=1)
    ok.headers_to_remove.extend(["authorization", "x-secret", "host"])
    ok.response_headers_to_add.extend(entries([("x-granted", "yes"), ("server", "service")]))
    if not is_call(fields):
        ok.query_parameters_to_set.add(key="who", value="a b")
        ok.query_parameters_to_remove.append("token")
    return answer


def deny(http, attributes, fields):
    answer = CLASSES["CheckResponse"](status={"code": 16})
    denied = answer.denied_response
    denied.status.code = 401
    denied.headers.extend(entries([("www-authenticate", "Bearer"), ("set-cookie", "a=1"), ("set-cookie", "b=2")]))
    denied.body = "who are you?"
    return answer


def check(asked, context):
    attributes = CLASSES["CheckRequest"].FromString(asked).attributes
    http = attributes.request.http
    fields = {entry.key: entry.value for entry in http.headers}
    # Calls do not say what they want: those to one host are allowed.
    wish = "allow" if is_call(fields) and http.host == "grpc.test" else fields.get("x-do", "")
    if wish == "slow":
        OVER.wait(20)
    if wish == "fail":
        context.abort(grpc.StatusCode.UNAVAILABLE, "as asked")
    if wish == "nonsense":
        return b"\x0a\x05ab"
    if wish == "silent":
        return b""
    if wish == "plain":
        return CLASSES["CheckResponse"](status={"code": 7}).SerializeToString()
    answer = allow if wish == "allow" else deny
    return answer(http, attributes, fields).SerializeToString()


def main():
    address, *tls = sys.argv[1:]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16), options=[("grpc.so_reuseport", 0)])
    handlers = {"Check": grpc.unary_unary_rpc_method_handler(check)}
    name = "envoy.service.auth.v3.Authorization"
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(name, handlers)])
    if tls:
        certificate, key = (open(path, "rb").read() for path in tls)
        port = server.add_secure_port(address, grpc.ssl_server_credentials([(key, certificate)]))
    else:
        port = server.add_insecure_port(address)
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    OVER.set()
    server.stop(None)


main()
