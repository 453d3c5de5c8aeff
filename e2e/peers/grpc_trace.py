"""A gRPC client that was not written here: whether a call through a gateway stays in its trace.

grpc_trace.py ADDRESS NAME TRACEPARENT
"""

import sys

import grpc

target, name, parent = sys.argv[1:]
options = [("grpc.default_authority", name), ("grpc.enable_retries", 0)]
unary = grpc.insecure_channel(target, options).unary_unary("/igw.test.Shapes/Unary")
failed = []


def check(what, is_good):
    print(("good: " if is_good else "FAILED: ") + what, flush=True)
    if not is_good:
        failed.append(what)


def seen(metadata):
    _, call = unary.with_call(b"hello", metadata=metadata, timeout=10)
    return dict(call.initial_metadata()).get("x-trace", "").split("-")


_, trace, span, flags = parent.split("-")
got = seen([("traceparent", parent)])
check("the call is in the client's trace", len(got) == 4 and got[1] == trace and got[3] == flags)
check("below a span of the gateway", len(got) == 4 and got[2] != span)
first, second = seen([]), seen([])
check("without one it begins one", len(first) == 4 and len(first[1]) == 32)
check("each its own", first[1] != second[1])
sys.exit(1 if failed else 0)
