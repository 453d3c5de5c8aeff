"""A gRPC client that was not written here. Makes calls of every shape through a gateway; prints one line for each, and
ends with 1 if one went wrong.

grpc_client.py TARGET NAME AUTHORITY FOLDER BYTES      over TLS; NAME is the host, AUTHORITY the file of the certificate
grpc_client.py TARGET NAME -         FOLDER BYTES      in cleartext
"""

import os
import sys
import time

import grpc

MESSAGE_BYTES = 80 * 1024 * 1024
PREFIX = "/igw.test.Shapes/"
target, name, authority, folder, n_bytes = sys.argv[1:]
options = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.default_authority", name),
    ("grpc.ssl_target_name_override", name),
    ("grpc.enable_retries", 0),
]
if authority == "-":
    channel = grpc.insecure_channel(target, options)
else:
    credentials = grpc.ssl_channel_credentials(open(authority, "rb").read())
    channel = grpc.secure_channel(target, credentials, options)
failed = []


def check(what, is_good):
    print(("good: " if is_good else "FAILED: ") + what, flush=True)
    if not is_good:
        failed.append(what)


def status_of(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


unary = channel.unary_unary(PREFIX + "Unary")
answer, call = unary.with_call(b"hello", metadata=[("x-asked", "this")], timeout=10)
initial, trailing = dict(call.initial_metadata()), dict(call.trailing_metadata())
check("unary", answer == b"hello")
check("metadata both ways", initial.get("x-seen") == "this")
check("trailers", trailing.get("x-length") == "5")
check("metadata of the route", initial.get("x-route") == "set" and initial.get("x-answer") == "set")

code = None
try:
    channel.unary_unary(PREFIX + "Fail")(b"", timeout=10)
except grpc.RpcError as error:
    code = (error.code(), error.details())
check("status and message", code == (grpc.StatusCode.FAILED_PRECONDITION, "as asked"))

many = list(channel.unary_stream(PREFIX + "Many")(b"1000", timeout=10))
check("server streaming", many == [b"message %d" % n for n in range(1000)])

sizes = [1, 100, 10_000, 100_000, 0]
count = channel.stream_unary(PREFIX + "Count")((bytes(size) for size in sizes), timeout=10)
check("client streaming", count == b"%d" % sum(sizes))

# Each message is sent only when the one before has come back.
came = []


def in_turn():
    for n in range(200):
        while len(came) < n:
            time.sleep(0.0005)
        yield b"turn %d" % n


for message in channel.stream_stream(PREFIX + "Echo")(in_turn(), timeout=20):
    came.append(message)
check("both ways in turn", came == [b"turn %d" % n for n in range(200)])

big = os.urandom(int(n_bytes))
check("a message of %s bytes both ways" % n_bytes, unary(big, timeout=120) == big)

# The call must have begun when its time is over, also on a machine that is busy.
told = os.path.join(folder, "deadline")
begun = []
for seconds in (0.5, 2, 8):
    started = time.monotonic()
    call = channel.unary_stream(PREFIX + "Sleep")(told.encode(), timeout=seconds)
    code = status_of(lambda: begun.extend(call))
    took = time.monotonic() - started
    if begun:
        break
check("deadline", begun == [b"begun"] and code == grpc.StatusCode.DEADLINE_EXCEEDED and took < seconds + 1.5)

cancelled = os.path.join(folder, "cancel")
call = channel.unary_stream(PREFIX + "Sleep")(cancelled.encode())
check("a first message", next(call) == b"begun")
call.cancel()
deadline = time.monotonic() + 10
while not (os.path.exists(told) and os.path.exists(cancelled)) and time.monotonic() < deadline:
    time.sleep(0.01)
check("deadline and cancel reach the server", os.path.exists(told) and os.path.exists(cancelled))

code = status_of(lambda: channel.unary_unary("/igw.test.Other/Unary")(b"", timeout=10))
check("no route is UNIMPLEMENTED", code == grpc.StatusCode.UNIMPLEMENTED)
code = status_of(lambda: channel.unary_unary("/igw.test.Nowhere/Unary")(b"", timeout=10))
check("no back end is UNAVAILABLE", code == grpc.StatusCode.UNAVAILABLE)

calls = [unary.future(b"%d" % n, timeout=30) for n in range(500)]
check("500 calls at once", all(call.result() == b"%d" % n for n, call in enumerate(calls)))
sys.exit(1 if failed else 0)
