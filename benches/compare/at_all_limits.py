"""Measure the memory of a service that is at all its limits at once, with the default configuration and the bundled model.

    cargo build --release
    python benches/compare/at_all_limits.py [--senet target/release/senet] [--port 21100] [--connections 1024] [--hold 8]

Needs nothing but Python and Linux. For --hold seconds, connections
 - ask for the worst picture that is known: a lossless WebP of one pixel whose prefix codes take almost all of `max_decoder_bytes`, as many
   as workers and queue take at once, each client asking again as soon as it is answered;
 - send bodies of the largest size but for their last byte, until the bodies' budget refuses more;
 - send a head of 60 KiB but for its end: all the others, up to the limit of connections.
Prints the resident memory before, meanwhile, at the peak and ten seconds after, and what was answered; fails if the service does not answer then.
Needs some 1,100 descriptors (`ulimit -n`).
"""

import argparse
import collections
import http.client
import itertools
import os
import re
import socket
import subprocess
import sys
import threading
import time

BODY = 16 << 20
QUEUE = 64
TABLES = 490_000_000
HEAD = 60 << 10


def bits(value, count):
    """The lowest bit first, as everything is read."""
    return format(value, f"0{count}b")[::-1] if count else ""


def canonical(lengths):
    """The codes of symbols, given their lengths."""
    codes, code, last = {}, 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in lengths.items()):
        code <<= length - last
        codes[symbol], code, last = format(code, f"0{length}b"), code + 1, length
    return codes


def prefix_code(lengths):
    """A prefix code of the first symbols (RFC 9649, section 3.7.2): lengths are coded themselves, and 16 repeats the last one up to six times."""
    tokens = []
    for length, run in itertools.groupby(lengths):
        left = len(list(run)) - 1
        tokens.append((length, ""))
        while left >= 3:
            tokens.append((16, bits(min(6, left) - 3, 2)))
            left -= min(6, left)
        tokens += [(length, "")] * left
    others = sorted({token for token, _ in tokens} - {16})
    depth = (len(others) - 1).bit_length()
    of_lengths = {16: 1} | {other: 1 + depth - (at < (1 << depth) - len(others)) for at, other in enumerate(others)}
    codes = canonical(of_lengths)
    order = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
    size = max(2, (len(tokens) - 2).bit_length() + 1 & ~1)
    head = bits(0, 1) + bits(15, 4) + "".join(bits(of_lengths.get(symbol, 0), 3) for symbol in order)
    count = bits(1, 1) + bits(size // 2 - 1, 3) + bits(len(tokens) - 2, size)
    return head + count + "".join(codes[token] + extra for token, extra in tokens)


def single(symbol):
    return bits(0b101, 3) + bits(symbol, 8)


def worst_picture():
    """A WebP of one pixel with as many groups of prefix codes as have tables of `TABLES` bytes; a colour cache makes the first code of each larger."""
    others = [1, 2, 3, 4, 5, 6, 7, 8] + [15] * 128
    group = "".join(map(prefix_code, ([1, 2, 3, 4] + [15] * 2048, others, others, others, [1, 2, 3, 4, 5, 6, 7, 8] + [13] * 32)))
    groups = TABLES // (560 + 5 * (4096 + 96) + 32 * (2048 + 3 * 128 + 32))
    text = bits(0x2F, 8) + bits(0, 14 + 14 + 1 + 3 + 1) + bits(1 | 11 << 1, 5) + bits(0b1111, 4) + bits(0, 1)
    text += "".join(map(single, ((groups - 1) & 255, (groups - 1) >> 8, 0, 0, 0))) + group * groups + bits(0, 64)
    data = int(text[::-1], 2).to_bytes(-(-len(text) // 8), "little")
    chunk = b"VP8L" + len(data).to_bytes(4, "little") + data + bytes(len(data) % 2)
    return b"RIFF" + (len(chunk) + 4).to_bytes(4, "little") + b"WEBP" + chunk


class Service:
    def __init__(self, program, port):
        self.port = port
        command = [program, "serve", "--http-addr", f"127.0.0.1:{port}", "--log-filter", "error"]
        self.process = subprocess.Popen(command)
        self.wait()

    def wait(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
                connection.request("GET", "/readyz")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise SystemExit("the service does not answer")

    def megabytes(self, name="VmRSS"):
        status = open(f"/proc/{self.process.pid}/status").read()
        return int(re.search(rf"{name}:\s+(\d+)", status)[1]) * 1024 / 1e6


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def head(length):
    return f"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n".encode()


def ask(port, picture, end, answers):
    while time.monotonic() < end:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("POST", "/v1/classify", picture)
            answers[connection.getresponse().status] += 1
        except OSError as error:
            answers[type(error).__name__] += 1


def send_large(port, end, answers):
    while time.monotonic() < end:
        with connect(port) as client:
            try:
                client.sendall(head(BODY) + bytes(BODY - 1))
                client.settimeout(max(0.1, end - time.monotonic()))
                answers["large body: " + client.recv(4096).split(b"\r\n")[0].decode()[9:]] += 1
            except OSError as error:
                answers["large body: " + type(error).__name__] += 1
        time.sleep(0.2)


def stall(port, count, end, stalled):
    for _ in range(count):
        try:
            client = connect(port)
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X-%d: %s\r\n" % (at, b"x" * 990) for at in range(HEAD // 1000)))
            stalled.append(client)
        except OSError:
            return


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--senet", default="target/release/senet")
    parser.add_argument("--port", type=int, default=21100)
    parser.add_argument("--connections", type=int, default=1024)
    parser.add_argument("--hold", type=float, default=8)
    args = parser.parse_args()
    picture = worst_picture()
    service = Service(args.senet, args.port)
    try:
        return measure(service, picture, args)
    finally:
        service.process.terminate()
        service.process.wait(30)


def measure(service, picture, args):
    workers, bodies = len(os.sched_getaffinity(0)), 16
    print(f"worst picture: {len(picture)} bytes; {workers} workers, {QUEUE} in the queue; before: {service.megabytes():.0f} MB", flush=True)
    end = time.monotonic() + args.hold
    answers, stalled = collections.Counter(), []
    asking = workers + QUEUE
    threads = [threading.Thread(target=ask, args=(args.port, picture, end, answers)) for _ in range(asking)]
    threads += [threading.Thread(target=send_large, args=(args.port, end, answers)) for _ in range(bodies)]
    threads += [threading.Thread(target=stall, args=(args.port, args.connections - asking - bodies, end, stalled))]
    for thread in threads:
        thread.start()
    while time.monotonic() < end:
        time.sleep(0.5)
        print(f"{service.megabytes():7.0f} MB, {len(os.listdir(f'/proc/{service.process.pid}/fd'))} descriptors", flush=True)
    for thread in threads:
        thread.join()
    peak = service.megabytes("VmHWM")
    for client in stalled:
        client.close()
    service.wait()
    # The last pictures end, and the allocator gives memory back.
    time.sleep(10)
    print(f"peak: {peak:.0f} MB; after: {service.megabytes():.0f} MB; {len(stalled)} stalled heads; answers: {dict(answers)}")


if __name__ == "__main__":
    sys.exit(main())
