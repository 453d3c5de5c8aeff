//! Cost of the parsers on the traffic that the targets are about.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use igw_h1::{ChunkEvent, ChunkedDecoder, Limits, RequestHead, RequestKind, ResponseHead};

/// A GET of about 120 bytes, as load generators send it.
const REQUEST: &[u8] = b"GET /api/v1/items?page=2 HTTP/1.1\r\nHost: shop.example.com\r\n\
    User-Agent: bench/1.0\r\nAccept: */*\r\nX-Trace: 7f3a\r\n\r\n";

/// A browser's request with its usual crowd of fields.
const LONG_REQUEST: &[u8] = b"GET /assets/app.js?v=8d1c HTTP/1.1\r\nHost: www.shop.example.com\r\n\
    Connection: keep-alive\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\nAccept-Encoding: gzip, deflate, br\r\nReferer: https://shop.example.com/\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=all\r\nCache-Control: no-cache\r\n\
    Sec-Fetch-Dest: script\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Site: same-origin\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 16:00:00 GMT\r\nServer: origin\r\n\
    Content-Type: application/json\r\nContent-Length: 128\r\nCache-Control: max-age=60\r\nETag: \"5f2\"\r\n\r\n";

fn heads(criterion: &mut Criterion) {
    let limits = Limits::default();
    let mut group = criterion.benchmark_group("heads");
    for (name, input) in [("request_120", REQUEST), ("request_700", LONG_REQUEST)] {
        let mut head = RequestHead::new();
        group.throughput(Throughput::Bytes(input.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| head.parse(black_box(input), &limits)));
    }
    let mut head = ResponseHead::new();
    group.throughput(Throughput::Bytes(RESPONSE.len() as u64));
    group.bench_function("response_190", |bencher| {
        bencher.iter(|| head.parse(black_box(RESPONSE), &limits, RequestKind::Other));
    });
    group.finish();
}

fn chunks(criterion: &mut Criterion) {
    let mut body = [b"10\r\n0123456789abcdef\r\n".as_slice()].concat().repeat(1000);
    body.extend_from_slice(b"0\r\n\r\n");
    let mut group = criterion.benchmark_group("chunks");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("chunks_of_16", |bencher| {
        bencher.iter(|| {
            let mut decoder = ChunkedDecoder::new(Limits::default());
            let mut n_taken = 0;
            while let Some(rest) = black_box(&body).get(n_taken..) {
                match decoder.decode(rest) {
                    Ok(decoded) if matches!(decoded.event, ChunkEvent::Data { .. }) => {
                        n_taken += decoded.consumed
                    }
                    end => return end,
                }
            }
            decoder.decode(b"")
        });
    });
    group.finish();
}

criterion_group!(benches, heads, chunks);
criterion_main!(benches);
