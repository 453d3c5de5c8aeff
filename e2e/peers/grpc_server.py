"""A gRPC server that was not written here: echoes in every shape of call. Prints its port, runs until its input ends.

grpc_server.py ADDRESS [CERTIFICATE KEY [AUTHORITY]]
"""

import sys
from concurrent import futures

import grpc

MESSAGE_BYTES = 80 * 1024 * 1024


def unary(request, context):
    told = {key: value for key, value in context.invocation_metadata()}
    seen = [("x-seen", "x-asked"), ("x-route", "x-route"), ("x-trace", "traceparent")]
    context.send_initial_metadata([(name, told.get(asked, "")) for name, asked in seen])
    context.set_trailing_metadata([("x-length", str(len(request)))])
    return request


def fail(request, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "as asked")


def many(request, context):
    for n in range(int(request)):
        yield b"message %d" % n


def count(requests, context):
    return b"%d" % sum(len(request) for request in requests)


def echo(requests, context):
    for request in requests:
        yield request


def sleep(request, context):
    """Sends one message and waits until the client goes."""
    yield b"begun"
    gone = futures.Future()
    # It may have gone already; then nobody calls back.
    if context.add_callback(lambda: gone.set_result(None)):
        gone.result(timeout=30)
    with open(request.decode(), "w") as told:
        told.write("gone")


def main():
    address, *tls = sys.argv[1:]
    shapes = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "Many": grpc.unary_stream_rpc_method_handler(many),
        "Count": grpc.stream_unary_rpc_method_handler(count),
        "Echo": grpc.stream_stream_rpc_method_handler(echo),
        "Sleep": grpc.unary_stream_rpc_method_handler(sleep),
    }
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=64),
        options=[("grpc.max_receive_message_length", MESSAGE_BYTES), ("grpc.so_reuseport", 0)],
    )
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("igw.test.Shapes", shapes)])
    if tls:
        certificate, key = (open(path, "rb").read() for path in tls[:2])
        authority = open(tls[2], "rb").read() if len(tls) > 2 else None
        credentials = grpc.ssl_server_credentials([(key, certificate)], authority, authority is not None)
        port = server.add_secure_port(address, credentials)
    else:
        port = server.add_insecure_port(address)
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(None)


main()
