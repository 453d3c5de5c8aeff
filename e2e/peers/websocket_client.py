"""WebSocket clients that were not written here, through a gateway: python3-websockets over HTTP/1.1, and the frames of
RFC 6455 on a stream of python3-h2 (RFC 8441). Prints one line for each check; ends with 1 if one went wrong.

websocket_client.py ADDRESS PORT NAME AUTHORITY BYTES
"""

import asyncio
import os
import socket
import ssl
import struct
import sys

import h2.config
import h2.connection
import h2.events
import h2.settings
import websockets

host, port, name, authority, n_bytes = sys.argv[1:]
port, n_bytes = int(port), int(n_bytes)
failed = []


def check(what, is_good):
    print(("good: " if is_good else "FAILED: ") + what, flush=True)
    if not is_good:
        failed.append(what)


def context(protocol):
    made = ssl.create_default_context(cafile=authority)
    made.set_alpn_protocols([protocol])
    return made


async def http1():
    options = {"max_size": None, "ping_interval": None, "ssl": context("http/1.1"), "server_hostname": name}
    async with websockets.connect(f"wss://{name}/ws", host=host, port=port, **options) as it:
        await it.send("hello")
        check("HTTP/1.1: a message", await it.recv() == "hello")
        await it.send(["frag", "mented ", "message"])
        check("HTTP/1.1: fragments", await it.recv() == "fragmented message")
        await (await it.ping(b"from here"))
        await it.send("ping me")
        check("HTTP/1.1: pings both ways", await it.recv() == "pinged")
        big = os.urandom(n_bytes)
        await it.send(big)
        check(f"HTTP/1.1: {n_bytes} bytes", await it.recv() == big)
        await it.send("close please")
        await it.wait_closed()
        check("HTTP/1.1: close code and reason", (it.close_code, it.close_reason) == (4321, "as asked"))


class Http2Socket:
    """One stream that became a WebSocket."""

    def __init__(self):
        raw = socket.create_connection((host, port), timeout=60)
        self.socket = context("h2").wrap_socket(raw, server_hostname=name)
        check("HTTP/2: agreed on", self.socket.selected_alpn_protocol() == "h2")
        config = h2.config.H2Configuration(client_side=True, validate_outbound_headers=False, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.received, self.is_open, self.headers = bytearray(), False, {}
        self.flush()
        enabled = h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL
        while self.h2.remote_settings.get(enabled) != 1:
            self.read()
        self.stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(
            self.stream,
            [
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                (":scheme", "https"),
                (":path", "/ws"),
                (":authority", name),
                ("sec-websocket-version", "13"),
            ],
        )
        self.flush()
        while not self.headers:
            self.read()
        check("HTTP/2: opened with 200", self.headers.get(":status") == "200")

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def read(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError("the gateway closed the connection")
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self.headers = dict(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                self.received += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self.flush()

    def send(self, opcode, payload, is_last=True):
        head = bytes([(0x80 if is_last else 0) | opcode])
        if len(payload) < 126:
            head += bytes([0x80 | len(payload)])
        elif len(payload) < 65536:
            head += bytes([0x80 | 126]) + struct.pack(">H", len(payload))
        else:
            head += bytes([0x80 | 127]) + struct.pack(">Q", len(payload))
        # A mask of zeros leaves the payload as it is.
        rest = memoryview(head + bytes(4) + payload)
        while rest:
            room = min(self.h2.local_flow_control_window(self.stream), self.h2.max_outbound_frame_size)
            if room == 0:
                self.read()
                continue
            self.h2.send_data(self.stream, bytes(rest[:room]))
            self.flush()
            rest = rest[room:]

    def take(self, n):
        while len(self.received) < n:
            self.read()
        taken = bytes(self.received[:n])
        del self.received[:n]
        return taken

    def frame(self):
        first, second = self.take(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", self.take(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self.take(8))
        return first & 0x0F, self.take(length), bool(first & 0x80)

    def message(self):
        whole = b""
        while True:
            opcode, payload, is_last = self.frame()
            if opcode == 9:
                self.send(10, payload)
                continue
            if opcode == 10:
                continue
            whole += payload
            if is_last:
                return whole


def http2():
    it = Http2Socket()
    it.send(1, b"hello")
    check("HTTP/2: a message", it.message() == b"hello")
    it.send(1, b"frag", is_last=False)
    it.send(0, b"mented ", is_last=False)
    it.send(9, b"between")
    it.send(0, b"message")
    check("HTTP/2: fragments, a ping between", it.message() == b"fragmented message")
    it.send(1, b"ping me")
    check("HTTP/2: a ping answered", it.message() == b"pinged")
    big = os.urandom(n_bytes)
    it.send(2, big)
    check(f"HTTP/2: {n_bytes} bytes", it.message() == big)
    it.send(1, b"close please")
    opcode, payload, _ = it.frame()
    check("HTTP/2: close code and reason", (opcode, payload) == (8, struct.pack(">H", 4321) + b"as asked"))


asyncio.run(http1())
http2()
sys.exit(1 if failed else 0)
