//! Endpoints in Prometheus' text format on this machine.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use plenum_agent_protocol::v1::{MetricKind, Scrape};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Look, Sample};

/// Bytes of an answer: some ten thousand samples.
const MOST_BYTES: usize = 2 * 1024 * 1024;
/// Samples of an endpoint when its settings do not say.
const USUAL_SAMPLES: u32 = 1000;
const MOST_LABELS: usize = 40;

/// Takes an endpoint's samples, each with the label `job`, beside `up` and what the scrape took.
pub(super) async fn scrape(scrape: &Scrape, patience: Duration, look: &mut Look) {
    let begun = Instant::now();
    let patience = if scrape.timeout_s == 0 { patience } else { patience.min(Duration::from_secs(scrape.timeout_s.into())) };
    let limit = if scrape.max_samples == 0 { USUAL_SAMPLES } else { scrape.max_samples } as usize;
    let answer = timeout(patience, get(&scrape.url)).await.unwrap_or_else(|_| Err(format!("no answer in {} s", patience.as_secs())));
    let samples = answer.and_then(|(status, body)| match status {
        200 => parse(&body, limit),
        status => Err(format!("it answered {status}")),
    });
    let job = [("job", scrape.name.as_str())];
    look.gauge("up", &job, f64::from(u8::from(samples.is_ok())));
    look.gauge("scrape_duration_seconds", &job, begun.elapsed().as_secs_f64());
    match samples {
        Ok(samples) => {
            #[allow(clippy::cast_precision_loss)]
            look.gauge("scrape_samples_scraped", &job, samples.len() as f64);
            for mut sample in samples {
                // As Prometheus does: what the endpoint says itself is kept under another name.
                for (name, _) in sample.labels.iter_mut().filter(|(name, _)| name == "job") {
                    "exported_job".clone_into(name);
                }
                sample.labels.push(("job".to_owned(), scrape.name.clone()));
                look.push(sample);
            }
        }
        Err(reason) => tracing::debug!(job = scrape.name, url = scrape.url, reason, "a scrape failed"),
    }
}

/// Host, port and path of `http://...`.
fn split(url: &str) -> Result<(String, u16, String), String> {
    let rest = url.strip_prefix("http://").ok_or_else(|| format!("{url:?} does not start with http://"))?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| format!("{port:?} is no port"))?),
        _ => (authority, 80),
    };
    if path.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("its path holds blanks".to_owned());
    }
    Ok((host.trim_matches(['[', ']']).to_owned(), port, path.to_owned()))
}

/// A request to this machine; nothing else is asked, or whoever may set a scrape could look around in the network from here.
pub(super) async fn get(url: &str) -> Result<(u16, String), String> {
    let (host, port, path) = split(url)?;
    let address: IpAddr = if host == "localhost" {
        IpAddr::from([127, 0, 0, 1])
    } else {
        host.parse().map_err(|_| format!("{host:?} is not localhost or an address of it"))?
    };
    if !address.is_loopback() {
        return Err(format!("{address} is not this machine: only 127.0.0.1, ::1 and localhost are asked"));
    }
    let mut tcp = TcpStream::connect(SocketAddr::new(address, port)).await.map_err(|e| format!("cannot connect: {e}"))?;
    let agent = crate::VERSION;
    // HTTP/1.0: the answer ends with the connection, without chunks.
    let request = format!(
        "GET {path} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: plenum-agent/{agent}\r\nAccept: text/plain;version=0.0.4\r\nConnection: close\r\n\r\n"
    );
    tcp.write_all(request.as_bytes()).await.map_err(|e| format!("cannot ask: {e}"))?;
    let mut answer = Vec::new();
    (&mut tcp).take(MOST_BYTES as u64 + 1).read_to_end(&mut answer).await.map_err(|e| format!("the answer broke off: {e}"))?;
    if answer.len() > MOST_BYTES {
        return Err(format!("the answer has more than {MOST_BYTES} bytes"));
    }
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").ok_or("the answer is no HTTP")?;
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or("the answer is no HTTP")?;
    let chunked = head.lines().any(|line| {
        let line = line.to_ascii_lowercase();
        line.starts_with("transfer-encoding:") && line.contains("chunked")
    });
    // Some answer a 1.0 request in chunks nevertheless.
    Ok((status, if chunked { unchunk(body) } else { body.to_owned() }))
}

fn unchunk(mut body: &str) -> String {
    let mut out = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.split(';').next().unwrap_or(size).trim(), 16) else { break };
        let (Some(chunk), Some(next)) = (rest.get(..size), rest.get(size..)) else { break };
        if size == 0 {
            break;
        }
        out.push_str(chunk);
        body = next.strip_prefix("\r\n").unwrap_or(next);
    }
    out
}

/// The text format, version 0.0.4. Histograms and summaries come as their parts, as they do to Prometheus.
fn parse(text: &str, limit: usize) -> Result<Vec<Sample>, String> {
    let mut samples = Vec::new();
    let mut kinds: Vec<(&str, MetricKind)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            if let Some((name, kind)) = rest.trim().split_once(' ') {
                let kind = match kind.trim() {
                    "counter" | "histogram" => MetricKind::Counter,
                    "gauge" => MetricKind::Gauge,
                    _ => MetricKind::Unspecified,
                };
                kinds.push((name, kind));
            }
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if samples.len() >= limit {
            return Err(format!("it has more than the {limit} samples that its settings allow"));
        }
        let mut sample = sample(line).ok_or_else(|| format!("line {} is no sample: {:.100}", number + 1, line))?;
        // Types come before their samples, so the last one is the likely one; parts of a histogram have its name and an end.
        let kind = kinds.iter().rev().find(|(name, _)| {
            sample.name.strip_prefix(name).is_some_and(|end| matches!(end, "" | "_bucket" | "_sum" | "_count" | "_total"))
        });
        sample.kind = kind.map_or(MetricKind::Unspecified, |(_, kind)| *kind);
        samples.push(sample);
    }
    Ok(samples)
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))?;
    let (name, mut rest) = line.split_at(end);
    if name.is_empty() {
        return None;
    }
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside.trim_start();
        loop {
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (label, after) = rest.split_once('=')?;
            let (value, after) = quoted(after.trim_start())?;
            if labels.len() >= MOST_LABELS {
                return None;
            }
            labels.push((label.trim().to_owned(), value));
            rest = after.trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
    }
    let value = match rest.split_ascii_whitespace().next()? {
        "+Inf" | "Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        "NaN" => f64::NAN,
        number => number.parse().ok()?,
    };
    Some(Sample { name: name.to_owned().into(), labels, kind: MetricKind::Unspecified, value })
}

/// A text in quotation marks, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut chars = text.char_indices();
    if chars.next()?.1 != '"' {
        return None;
    }
    let mut value = String::new();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                c => value.push(c),
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    const TEXT: &str = "# HELP http_requests_total The total.\n# TYPE http_requests_total counter\n\
        http_requests_total{method=\"post\",code=\"200\"} 1027 1395066363000\nhttp_requests_total{ path = \"C:\\\\DIR\\n\\\"x}\\\"\", } 3\n\n\
        # A comment\nmetric_without_timestamp_and_labels 12.47\nsomething_weird{problem=\"division by zero\"} +Inf -3982045\n\
        # TYPE rpc histogram\nrpc_bucket{le=\"0.05\"} 24054\nrpc_sum 53423\nrpc_count 144320\n# TYPE g gauge\ng 1e3\n";

    #[test]
    fn the_text_format() {
        let found = parse(TEXT, 100).unwrap();
        assert_eq!(found.len(), 8);
        assert_eq!((found[0].name.as_ref(), found[0].kind, found[0].value), ("http_requests_total", MetricKind::Counter, 1027.0));
        assert_eq!(found[0].labels[1], ("code".into(), "200".into()));
        assert_eq!(found[1].labels, [("path".to_owned(), "C:\\DIR\n\"x}\"".to_owned())]);
        assert_eq!((found[2].kind, found[3].value), (MetricKind::Unspecified, f64::INFINITY));
        assert_eq!((found[4].kind, found[7].kind, found[7].value), (MetricKind::Counter, MetricKind::Gauge, 1000.0));
        assert!(parse(TEXT, 3).unwrap_err().contains("more than the 3 samples"));
        for bad in ["{a=\"b\"} 1", "x{a=b} 1", "x{a=\"b} 1", "x", "x one", "<html>"] {
            assert!(parse(bad, 10).is_err(), "{bad}");
        }
    }

    #[test]
    fn chunks() {
        assert_eq!(unchunk("4\r\nWiki\r\n5;x=y\r\npedia\r\n0\r\n\r\n"), "Wikipedia");
    }

    async fn serve(answer: &'static str) -> u16 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut tcp, _)) = listener.accept().await {
                let mut asked = [0; 2048];
                let _ = tcp.read(&mut asked).await;
                let _ = tcp.write_all(answer.as_bytes()).await;
            }
        });
        port
    }

    #[tokio::test]
    async fn an_endpoint_of_this_machine_is_taken_and_another_machine_is_not_asked() {
        let port = serve("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n# TYPE a counter\na{job=\"own\"} 5\n").await;
        let patience = Duration::from_secs(5);
        let mut look = Look::default();
        let target = |url: String| Scrape { name: "app".into(), url, ..Scrape::default() };
        scrape(&target(format!("http://localhost:{port}/metrics")), patience, &mut look).await;
        let find = |look: &Look, name: &str| look.samples.iter().find(|s| s.name == name).cloned().unwrap();
        assert_eq!(find(&look, "up").value, 1.0);
        let a = find(&look, "a");
        assert_eq!(a.labels, [("exported_job".to_owned(), "own".to_owned()), ("job".to_owned(), "app".to_owned())]);
        for url in ["http://192.0.2.1/metrics", "http://example.org/", "ftp://127.0.0.1/", "https://127.0.0.1/", "http://127.0.0.1:1/"] {
            let mut look = Look::default();
            scrape(&target(url.into()), patience, &mut look).await;
            assert_eq!(find(&look, "up").value, 0.0, "{url}");
        }
        assert!(get("http://192.0.2.1/").await.unwrap_err().contains("not this machine"));
        let port = serve("HTTP/1.0 500 Oops\r\n\r\n").await;
        let mut look = Look::default();
        scrape(&target(format!("http://127.0.0.1:{port}/")), patience, &mut look).await;
        assert_eq!(find(&look, "up").value, 0.0);
    }
}
