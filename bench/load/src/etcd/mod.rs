//! etcd, version 3 of its API: KV.Put and KV.Range over gRPC, which is HTTP/2, one stream a call and many
//! calls at once. HTTP/2 itself is the `h2` crate's, fed from memory: sockets, operations in flight,
//! checks and latencies are those of every target.

mod locks;
mod messages;
mod pipe;

use std::collections::HashMap;
use std::future::Future;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use h2::RecvStream;
use h2::client::{self, Connection, ResponseFuture, SendRequest};
use http::{HeaderMap, Request, Response};

use crate::etcd::messages::{
    Field, field, find, find_bytes, message_of, request_of, revision_of, status_request,
};
use crate::etcd::pipe::Pipe;
use crate::fault::{Fault, excerpt};
use crate::limits::{ETCD_FILLING_OUTSTANDING, ETCD_VALUE_BYTES_MAX, HTTP2_WINDOW_BYTES};
use crate::outbox::Outbox;
use crate::protocol::{Bounds, Facts, Numbered, Outcome, Protocol};
use crate::workload::{KEY_BYTES, Values};

pub use locks::EtcdLocks;

/// Stands for the greeting among the calls; no operation has it while the greeting is under way.
const GREETING: u32 = u32::MAX;

/// A call on its way: its answer's head is still to come, or its body.
enum Stage {
    Head(ResponseFuture),
    Body(RecvStream, Vec<u8>),
}

struct Call {
    is_read: bool,
    stage: Stage,
}

/// Calls that can go on.
type Ready = Arc<Mutex<Vec<u32>>>;

/// Notes the call that HTTP/2 has something for.
struct Note {
    id: u32,
    ready: Ready,
}

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.push(self.id);
    }
}

/// One HTTP/2 connection.
struct Session {
    connection: Connection<Pipe, Bytes>,
    sender: SendRequest<Bytes>,
}

pub struct Etcd {
    pipe: Pipe,
    put: Request<()>,
    range: Request<()>,
    status: Request<()>,
    session: Option<Session>,
    calls: HashMap<u32, Call>,
    ready: Ready,
    facts: Option<Facts>,
    /// What went wrong where nothing could be said.
    fault: Option<Fault>,
}

impl Etcd {
    pub fn new(host: &str) -> Result<Self, Fault> {
        Ok(Self {
            pipe: Pipe::default(),
            put: request_to(host, "etcdserverpb.KV/Put")?,
            range: request_to(host, "etcdserverpb.KV/Range")?,
            status: request_to(host, "etcdserverpb.Maintenance/Status")?,
            session: None,
            calls: HashMap::new(),
            ready: Ready::default(),
            facts: None,
            fault: None,
        })
    }

    fn begin(&mut self) -> Result<(), Fault> {
        let mut builder = client::Builder::new();
        builder
            .initial_window_size(HTTP2_WINDOW_BYTES)
            .initial_connection_window_size(HTTP2_WINDOW_BYTES);
        let shake = pin!(builder.handshake::<_, Bytes>(self.pipe.clone()));
        // All it does is to write, and the pipe takes everything at once.
        let Poll::Ready(shaken) = shake.poll(&mut Context::from_waker(Waker::noop())) else {
            return Err(Fault::Internal("HTTP/2 does not begin".into()));
        };
        let (sender, connection) = shaken.map_err(broken)?;
        self.session = Some(Session { connection, sender });
        let request = self.status.clone();
        self.call(GREETING, true, request, status_request())
    }

    fn call(
        &mut self,
        id: u32,
        is_read: bool,
        request: Request<()>,
        message: Bytes,
    ) -> Result<(), Fault> {
        let Some(Session { sender, .. }) = &mut self.session else {
            return Err(Fault::Internal("a call before the greeting".into()));
        };
        let (head, mut body) = sender.send_request(request, false).map_err(broken)?;
        body.send_data(message, true).map_err(broken)?;
        let stage = Stage::Head(head);
        self.calls.insert(id, Call { is_read, stage });
        self.wake(id);
        Ok(())
    }

    /// Has a call looked at, which registers the waker of a new one.
    fn wake(&self, id: u32) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.push(id);
    }

    /// Has HTTP/2 read what came and write what is to go.
    fn turn(&mut self, out: &mut Outbox) -> Result<(), Fault> {
        if let Some(Session { connection, .. }) = &mut self.session {
            let mut context = Context::from_waker(Waker::noop());
            match Pin::new(connection).poll(&mut context) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => {
                    let operations = self.calls.len();
                    return Err(Fault::Ended { operations });
                }
                Poll::Ready(Err(error)) => return Err(broken(error)),
            }
        }
        let output = &mut self.pipe.0.borrow_mut().output;
        out.append(output);
        output.clear();
        Ok(())
    }

    /// Goes on with every call that has something new; whether there were any.
    fn go_on(
        &mut self,
        ended: &mut impl FnMut(u32, Ended) -> Result<(), Fault>,
    ) -> Result<bool, Fault> {
        let ids = mem::take(&mut *self.ready.lock().unwrap_or_else(PoisonError::into_inner));
        for &id in &ids {
            // A call may have been noted twice, and be done.
            let Some(call) = self.calls.get_mut(&id) else {
                continue;
            };
            let note = Note {
                id,
                ready: Arc::clone(&self.ready),
            };
            let waker = Waker::from(Arc::new(note));
            let Poll::Ready(answered) = call.poll(&mut Context::from_waker(&waker)) else {
                continue;
            };
            let is_read = call.is_read;
            self.calls.remove(&id);
            let (body, status) = answered?;
            if id == GREETING && self.facts.is_none() {
                self.facts = Some(greeted(&body, &status)?);
            } else {
                ended(
                    id,
                    Ended {
                        is_read,
                        body,
                        status,
                    },
                )?;
            }
        }
        Ok(!ids.is_empty())
    }
}

/// A call whose answer is whole.
struct Ended {
    is_read: bool,
    body: Vec<u8>,
    status: Status,
}

/// How gRPC says that a call ended.
#[derive(Debug)]
struct Status {
    code: String,
    message: String,
}

impl Call {
    /// Ready with the body and the status once the answer is whole.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(Vec<u8>, Status), Fault>> {
        loop {
            match &mut self.stage {
                Stage::Head(head) => match Pin::new(head).poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(head) => {
                        let head = head.map_err(broken)?;
                        if head.headers().contains_key("grpc-status") {
                            // An answer without a body.
                            return Poll::Ready(Ok((Vec::new(), status_of(head.headers())?)));
                        }
                        self.stage = Stage::Body(body_of(head)?, Vec::new());
                    }
                },
                Stage::Body(stream, body) => match stream.poll_data(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(chunk)) => {
                        let chunk = chunk.map_err(broken)?;
                        body.extend_from_slice(&chunk);
                        let window = stream.flow_control();
                        window.release_capacity(chunk.len()).map_err(broken)?;
                    }
                    Poll::Ready(None) => match stream.poll_trailers(context) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(trailers) => {
                            let trailers = trailers.map_err(broken)?.unwrap_or_default();
                            return Poll::Ready(Ok((mem::take(body), status_of(&trailers)?)));
                        }
                    },
                },
            }
        }
    }
}

/// The head of a call.
fn request_to(host: &str, method: &str) -> Result<Request<()>, Fault> {
    Request::post(format!("http://{host}/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .map_err(|error| Fault::Internal(error.to_string()))
}

fn body_of(head: Response<RecvStream>) -> Result<RecvStream, Fault> {
    if head.status() == http::StatusCode::OK {
        Ok(head.into_body())
    } else {
        let status = head.status();
        Err(Fault::protocol(format!("HTTP status {status}")))
    }
}

fn status_of(headers: &HeaderMap) -> Result<Status, Fault> {
    let text = |name: &str| {
        let value = headers.get(name).map(|value| value.as_bytes());
        value.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    let Some(code) = text("grpc-status") else {
        return Err(Fault::protocol("an answer has no grpc-status"));
    };
    let message = text("grpc-message").unwrap_or_default();
    Ok(Status { code, message })
}

fn broken(error: h2::Error) -> Fault {
    Fault::protocol(format!("HTTP/2: {error}"))
}

fn outcome_of<'a>(is_read: bool, body: &'a [u8], status: &Status) -> Result<Outcome<'a>, Fault> {
    let Status { code, message } = status;
    if code != "0" {
        return Ok(Outcome::Error(format!("{message} (grpc-status {code})")));
    }
    let message = message_of(body)?;
    if revision_of(message)? == 0 {
        let text = excerpt(message);
        return Ok(Outcome::Error(format!(
            "an answer without a revision: {text}"
        )));
    }
    if !is_read {
        return Ok(Outcome::Done);
    }
    Ok(match find_bytes(message, field::RANGE_KEYS)? {
        None => Outcome::Missing,
        Some(pair) => Outcome::Value(find_bytes(pair, field::KEY_VALUE_VALUE)?.unwrap_or_default()),
    })
}

fn greeted(body: &[u8], status: &Status) -> Result<Facts, Fault> {
    if status.code != "0" {
        return Err(Fault::Refused {
            what: "Maintenance.Status".into(),
            error: format!("{} (grpc-status {})", status.message, status.code),
        });
    }
    let message = message_of(body)?;
    let version = find_bytes(message, field::STATUS_VERSION)?.unwrap_or_default();
    let database_bytes = match find(message, field::STATUS_DATABASE_BYTES)? {
        Some(Field::Number(bytes)) => bytes,
        _ => 0,
    };
    Ok(Facts::Etcd {
        name: "etcd",
        version: String::from_utf8_lossy(version).into_owned(),
        database_bytes,
    })
}

impl Protocol for Etcd {
    const HAS_IDS: bool = false;
    const OPERATION_BYTES: usize = KEY_BYTES + 64;
    const FILLING_OUTSTANDING_MAX: usize = ETCD_FILLING_OUTSTANDING;

    fn greet(&mut self, out: &mut Outbox) {
        let begun = self.begin().and_then(|()| self.turn(out));
        self.fault = begun.err();
    }

    fn is_open(&self) -> bool {
        self.facts.is_some()
    }

    fn bounds(&self) -> Bounds {
        let session = self.session.as_ref();
        let streams = session.map(|it| it.connection.max_concurrent_send_streams());
        Bounds {
            batch_operations: usize::MAX,
            batch_bytes: usize::MAX,
            outstanding: streams.unwrap_or_default(),
            value_bytes: ETCD_VALUE_BYTES_MAX,
        }
    }

    fn facts(&self) -> Option<&Facts> {
        self.facts.as_ref()
    }

    fn encode(&mut self, batch: &[Numbered], values: &Values, out: &mut Outbox) {
        let mut sent = Ok(());
        for Numbered { id, draw } in batch {
            let request = if draw.is_read { &self.range } else { &self.put }.clone();
            let message = request_of(draw.key, draw.is_read, values);
            sent = sent.and_then(|()| self.call(*id, draw.is_read, request, message));
        }
        if let Err(fault) = sent.and_then(|()| self.turn(out)) {
            self.fault = Some(fault);
        }
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        out: &mut Outbox,
        answer: &mut impl FnMut(u32, Outcome<'_>) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        self.pipe.0.borrow_mut().input.extend_from_slice(bytes);
        self.turn(out)?;
        let ended = &mut |id, ended: Ended| {
            answer(id, outcome_of(ended.is_read, &ended.body, &ended.status)?)
        };
        while self.go_on(ended)? {
            // Windows that were given back are to be told.
            self.turn(out)?;
        }
        Ok(bytes.len())
    }
}
