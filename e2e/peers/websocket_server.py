"""A WebSocket server that was not written here (python3-websockets): echoes messages. Prints its port.

websocket_server.py HOST
"""

import asyncio
import sys

import websockets


async def echo(socket):
    async for message in socket:
        if message == "close please":
            await socket.close(4321, "as asked")
            return
        if message == "ping me":
            await (await socket.ping(b"are you there"))
            message = "pinged"
        await socket.send(message)


async def main():
    async with websockets.serve(echo, sys.argv[1], 0, max_size=None, ping_interval=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
