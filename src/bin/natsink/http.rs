//! The status over HTTP: metrics, health, readiness, and a page for people. It has a thread of its own, so that whoever
//! asks, however often, does not hold up the delivery.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, VARY};
use hyper::header::{REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;

use super::exit::{Code, Failure};
use super::status::Board;
use super::{http_page, log, metrics, status_json};

/// Connections at one time; further ones wait for their turn.
const CONNECTIONS_MAX: usize = 64;
/// How long one may take until its request is whole.
const HEAD_TIME_MAX: Duration = Duration::from_secs(1);
/// How long one may take until it has its answer.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(5);
/// The longest head of a request, bytes. Bodies are not read.
const HEAD_LEN_MAX: usize = 8 * 1024;
/// Header lines of a request.
const HEADERS_MAX: usize = 64;
/// After a connection could not be taken, for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

const PLAIN: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
/// Nothing from elsewhere: the page has all it needs in itself.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const INDEX: &str = "/metrics\n/healthz\n/readyz\n/status\n/status.html\n";

/// Begins to answer at `addr`, for as long as the process lives.
///
/// # Errors
/// When that address is taken, not one of this machine's, or not allowed.
pub(crate) fn serve(addr: SocketAddr, board: Board) -> Result<(), Failure> {
    let failed = |error: std::io::Error| cannot_listen(addr, &error);
    let listener = TcpListener::bind(addr).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let answer = move || runtime.block_on(accept(listener, board));
    std::thread::Builder::new().name("natsink-http".into()).spawn(answer).map_err(failed)?;
    log::info(format_args!("status, health and metrics: http://{addr}/status"));
    Ok(())
}

/// An address that will not do.
pub(crate) fn cannot_listen(addr: SocketAddr, error: &std::io::Error) -> Failure {
    let help = "name another with --http or http.listen";
    Failure::new(Code::Config, "http", format!("cannot listen for HTTP on {addr}: {error}")).with_help(help)
}

async fn accept(listener: TcpListener, board: Board) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener that does not block");
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&room).acquire_owned().await.expect("the semaphore is never closed");
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let board = board.clone();
        tokio::spawn(async move {
            let answer = service_fn(|request| std::future::ready(Ok::<_, Infallible>(answer(&request, &board))));
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX);
            builder.keep_alive(false).max_buf_size(HEAD_LEN_MAX).max_headers(HEADERS_MAX);
            let connection = builder.serve_connection(TokioIo::new(socket), answer);
            // Whatever went wrong is the asker's to see.
            let _ = tokio::time::timeout(CONNECTION_TIME_MAX, connection).await;
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, board: &Board) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut refusal = response(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "GET and HEAD only\n");
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    let now = Instant::now();
    match request.uri().path() {
        "/metrics" => response(StatusCode::OK, metrics::CONTENT_TYPE, metrics::text(&board.read(), now)),
        "/healthz" => response(StatusCode::OK, PLAIN, "ok\n"),
        "/readyz" => match board.read().reasons(now).as_slice() {
            [] => response(StatusCode::OK, PLAIN, "ready\n"),
            reasons => response(StatusCode::SERVICE_UNAVAILABLE, PLAIN, reasons.join("\n") + "\n"),
        },
        "/status" if !wants_page(request) => response(StatusCode::OK, JSON, status_json::json(&board.read(), now)),
        "/" if !wants_page(request) => response(StatusCode::OK, PLAIN, INDEX),
        "/" | "/status" | "/status.html" => {
            let mut page = response(StatusCode::OK, HTML, http_page::html(&board.read(), now));
            page.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
            page
        }
        _ => response(StatusCode::NOT_FOUND, PLAIN, INDEX),
    }
}

/// Whether a browser asks.
fn wants_page(request: &Request<Incoming>) -> bool {
    request
        .headers()
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

fn response(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
