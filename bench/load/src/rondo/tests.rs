//! Frames by example: what is written is what the verifier reads, and what is broken is refused.

use super::layout::*;
use super::*;
use crate::generated::{
    Event, EventKind, Limits, LimitsArgs, OperationCode, OperationResult, Welcome, WelcomeArgs,
};
use crate::websocket::Message;
use crate::workload::{Draw, Workload};

fn open<const ECHO: bool>() -> Rondo<ECHO> {
    let mut rondo = Rondo::new("host".into(), "token".into(), Random::new(1, 1));
    rondo.stage = Stage::Open;
    rondo
}

fn batch() -> Vec<Numbered> {
    let draws = [
        (5, 42, true),
        (6, 7, false),
        (9, 123_456, false),
        (10, 0, true),
    ];
    let numbered = |(id, key, is_read)| Numbered {
        id,
        draw: Draw { key, is_read },
    };
    draws.into_iter().map(numbered).collect()
}

/// Takes the mask off a client's frame.
fn unmask(frame: &[u8]) -> Vec<u8> {
    let at = header_bytes(frame.len() - 8);
    let key = [frame[at - 4], frame[at - 3], frame[at - 2], frame[at - 1]];
    let mut payload = frame[at..].to_vec();
    mask(&mut payload, key);
    payload
}

fn as_message(payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | OPCODE_BINARY, 126];
    bytes.extend((payload.len() as u16).to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn answers<const ECHO: bool>(rondo: &mut Rondo<ECHO>, bytes: &[u8]) -> Result<Vec<String>, Fault> {
    let mut answers = Vec::new();
    let mut out = Outbox::default();
    rondo.receive(bytes, &mut out, &mut |id, outcome| {
        answers.push(format!("{id} {outcome:?}"));
        Ok(())
    })?;
    Ok(answers)
}

#[test]
fn a_request_is_what_the_verifier_reads() {
    let workload = Workload::new(1000, 0.5, None, 20, 7);
    let mut out = Outbox::default();
    open::<false>().encode(&batch(), &workload.values, &mut out);
    let payload = unmask(&out.take());
    let frame = frame_of(&payload).expect("valid");
    assert_eq!(frame.kind(), FrameKind::Request);
    let operations = frame.operations().expect("operations");
    let data = frame.data().expect("data").bytes();
    let mut at = 0;
    for (operation, Numbered { id, draw }) in operations.iter().zip(batch()) {
        let code = if draw.is_read {
            OperationCode::Get
        } else {
            OperationCode::Put
        };
        assert_eq!((operation.id(), operation.code()), (id, code));
        assert_eq!(operation.key_length(), 17);
        let name = crate::workload::key_name(draw.key);
        assert_eq!(&data[at..at + 17], name.as_bytes());
        at += 17;
        assert_eq!(operation.value_length(), if draw.is_read { 0 } else { 20 });
        if !draw.is_read {
            assert!(workload.values.matches(draw.key, &data[at..at + 20]));
            at += 20;
        }
        assert_eq!(
            (operation.flags(), operation.limit(), operation.ttl_ms()),
            (0, 0, 0)
        );
        assert_eq!(operation.expected_revision(), 0);
    }
    assert_eq!((operations.len(), at), (4, data.len()));
}

#[test]
fn an_echo_is_read_back() {
    let workload = Workload::new(1000, 0.5, None, 3, 7);
    let mut out = Outbox::default();
    let mut rondo = open::<true>();
    rondo.encode(&batch(), &workload.values, &mut out);
    let payload = unmask(&out.take());
    let got = answers(&mut rondo, &as_message(&payload)).expect("valid");
    assert_eq!(got.len(), 4);
    assert!(got[0].starts_with("5 Echo { is_read: true"), "{}", got[0]);
    assert!(got[1].starts_with("6 Echo { is_read: false"), "{}", got[1]);
    assert!(answers(&mut rondo, &as_message(&payload[..payload.len() - 1])).is_err());
}

fn reply(results: &[OperationResult], data: &[u8]) -> Vec<u8> {
    let mut builder = FlatBufferBuilder::new();
    let data = builder.create_vector(data);
    let results = builder.create_vector(results);
    let frame = Frame::create(
        &mut builder,
        &FrameArgs {
            kind: FrameKind::Reply,
            results: Some(results),
            data: Some(data),
            ..FrameArgs::default()
        },
    );
    finish_frame_buffer(&mut builder, frame);
    builder.finished_data().to_vec()
}

/// The same frame, laid out as a node does.
fn usual_reply(results: &[OperationResult], data: &[u8]) -> Vec<u8> {
    let mut bytes = REPLY_HEADER.to_vec();
    let data_at = HEADER_BYTES + results.len() * ELEMENT_BYTES - DATA_OFFSET_AT;
    bytes[DATA_OFFSET_AT..KIND_AT].copy_from_slice(&(data_at as u32).to_le_bytes());
    bytes[KIND_AT] = FrameKind::Reply.0;
    bytes[VECTOR_LENGTH_AT..].copy_from_slice(&(results.len() as u32).to_le_bytes());
    for result in results {
        bytes.extend(result.0);
    }
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes
}

fn result(id: u32, status: Status, value_bytes: u32, revision: u64) -> OperationResult {
    OperationResult::new(id, status, 0, 0, value_bytes, 0, revision, 0)
}

#[test]
fn replies_of_any_layout_give_the_same_answers() {
    let results = [
        result(1, Status::Ok, 3, 9),
        result(2, Status::Ok, 0, 10),
        result(3, Status::NotFound, 0, 0),
        result(4, Status::Overloaded, 0, 0),
        result(5, Status::Ok, 2, 1),
    ];
    let usual = usual_reply(&results, b"abcde");
    assert!(usual_columns(&usual, &REPLY_HEADER, FrameKind::Reply).is_some());
    let other = reply(&results, b"abcde");
    assert!(usual_columns(&other, &REPLY_HEADER, FrameKind::Reply).is_none());
    let expected = [
        "1 Value([97, 98, 99])",
        "2 Done",
        "3 Missing",
        "4 Error(\"Overloaded (12)\")",
        "5 Value([100, 101])",
    ];
    for payload in [usual, other] {
        let got = answers(&mut open::<false>(), &as_message(&payload)).expect("valid");
        assert_eq!(got, expected);
    }
}

#[test]
fn a_broken_reply_is_refused() {
    let good = [result(1, Status::Ok, 3, 9)];
    for payload in [
        usual_reply(&good, b"ab"),
        usual_reply(&good, b"abcd"),
        reply(&good, b"abcd"),
        usual_reply(&good, b"abc")[..70].to_vec(),
        b"none".to_vec(),
        vec![0; 64],
    ] {
        assert!(answers(&mut open::<false>(), &as_message(&payload)).is_err());
    }
    // A result without a revision, or with a key, answers neither a get nor a put.
    for odd in [
        result(1, Status::Ok, 3, 0),
        OperationResult::new(1, Status::Ok, 0, 1, 2, 0, 9, 0),
        OperationResult::new(1, Status::Ok, 1, 0, 3, 0, 9, 0),
    ] {
        let bytes = as_message(&usual_reply(&[odd], b"abc"));
        let got = answers(&mut open::<false>(), &bytes).expect("valid");
        assert!(
            got[0].starts_with("1 Error(\"a result of another kind"),
            "{}",
            got[0]
        );
    }
}

#[test]
fn the_hello_is_followed_by_a_welcome_with_limits() {
    let mut rondo = Rondo::<false>::new("host".into(), "secret".into(), Random::new(1, 1));
    rondo.stage = Stage::Greeting;
    let mut out = Outbox::default();
    rondo.send_hello(&mut out);
    let payload = unmask(&out.take());
    let frame = frame_of(&payload).expect("valid");
    let hello = frame.hello().expect("hello");
    assert_eq!((hello.protocol(), hello.token()), (1, Some("secret")));

    let mut builder = FlatBufferBuilder::new();
    let welcome = Welcome::create(&mut builder, &WelcomeArgs::default());
    let frame = Frame::create(
        &mut builder,
        &FrameArgs {
            kind: FrameKind::Welcome,
            welcome: Some(welcome),
            ..FrameArgs::default()
        },
    );
    finish_frame_buffer(&mut builder, frame);
    let bytes = as_message(builder.finished_data());
    let fault = answers(&mut rondo, &bytes)
        .expect_err("no limits")
        .to_string();
    assert!(fault.contains("not a welcome"), "{fault}");
    assert!(!rondo.is_open());
}

#[test]
fn a_ping_is_answered_and_a_close_reported() {
    let mut rondo = open::<false>();
    let mut out = Outbox::default();
    let mut none = |_: u32, _: Outcome<'_>| Ok(());
    let used = rondo
        .receive(b"\x89\x02hi", &mut out, &mut none)
        .expect("valid");
    assert_eq!(used, 4);
    let pong = out.take();
    assert_eq!(pong[..2], [0x80 | OPCODE_PONG, 0x82]);
    let mut payload = pong[6..].to_vec();
    mask(&mut payload, [pong[2], pong[3], pong[4], pong[5]]);
    assert_eq!(payload, b"hi");
    let Message { payload, .. } = read_message(b"\x88\x06\x0f\xc9slow")
        .expect("valid")
        .expect("whole");
    let text = close_of(payload).to_string();
    assert!(text.ends_with("code 4041 (SlowReader): slow"), "{text}");
    assert!(close_of(b"").to_string().contains("code 1005"));
}

fn push_of(kind: EventKind) -> Vec<u8> {
    let mut builder = FlatBufferBuilder::new();
    let event = Event::new(0, kind, 0, 0, 4, Status::Ok, 3, 0, 0, 0);
    let data = builder.create_vector(&[0_u8; 4]);
    let events = builder.create_vector(&[event]);
    let frame = Frame::create(
        &mut builder,
        &FrameArgs {
            kind: FrameKind::Push,
            events: Some(events),
            data: Some(data),
            ..FrameArgs::default()
        },
    );
    finish_frame_buffer(&mut builder, frame);
    as_message(builder.finished_data())
}

#[test]
fn a_new_routing_table_is_no_answer_and_a_lost_worker_ends_the_run() {
    let got = answers(&mut open::<false>(), &push_of(EventKind::Routing)).expect("valid");
    assert!(got.is_empty());
    for (kind, expected) in [
        (EventKind::WorkerLost, "was lost"),
        (EventKind::Put, "pushed Put"),
    ] {
        let fault = answers(&mut open::<false>(), &push_of(kind)).expect_err("no news");
        assert!(fault.to_string().contains(expected), "{fault}");
    }
}

fn welcome_of(worker: u16, routing: Option<&[u8]>) -> Vec<u8> {
    let mut builder = FlatBufferBuilder::new();
    let limits = Limits::create(&mut builder, &LimitsArgs::default());
    let routing = routing.map(|bytes| builder.create_vector(bytes));
    let welcome = Welcome::create(
        &mut builder,
        &WelcomeArgs {
            protocol: PROTOCOL_VERSION,
            limits: Some(limits),
            worker,
            routing,
            ..WelcomeArgs::default()
        },
    );
    let frame = Frame::create(
        &mut builder,
        &FrameArgs {
            kind: FrameKind::Welcome,
            welcome: Some(welcome),
            ..FrameArgs::default()
        },
    );
    finish_frame_buffer(&mut builder, frame);
    as_message(builder.finished_data())
}

#[test]
fn the_worker_that_answers_must_be_the_one_that_was_meant() {
    let table = [
        [1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 0, 0, 0, 0],
    ];
    let table = [table.concat(), vec![0, 0]].concat();
    let greet = |worker, bytes: &[u8]| {
        let rondo = Rondo::<false>::new("host".into(), String::new(), Random::new(1, 1));
        let mut rondo = rondo.at_worker(worker);
        rondo.stage = Stage::Greeting;
        answers(&mut rondo, bytes).map(|_| rondo.routing().map(|table| table.owners.len()))
    };
    for worker in [None, Some(1)] {
        let routing = greet(worker, &welcome_of(1, Some(&table))).expect("valid");
        assert_eq!(routing, Some(1));
        assert_eq!(greet(worker, &welcome_of(1, None)).expect("valid"), None);
    }
    for (worker, table, expected) in [
        (Some(0), table.as_slice(), "worker 1 answers"),
        (None, &table[..20], "routing table is broken"),
    ] {
        let fault = greet(worker, &welcome_of(1, Some(table))).expect_err("refused");
        assert!(fault.to_string().contains(expected), "{fault}");
    }
}
