//! Rondo's protocol over WebSocket, and the same requests to a server that echoes them. Requests are
//! laid out as the node's clients do (see `ts/wire/layout.ts`); replies in the usual layout are read
//! directly, any other through the verifier.

use flatbuffers::{FlatBufferBuilder, VerifierOptions};

use crate::fault::{Fault, excerpt};
use crate::generated::{
    Frame, FrameArgs, FrameKind, Hello, HelloArgs, OperationCode, Status, finish_frame_buffer,
    frame_buffer_has_identifier,
};
use crate::outbox::Outbox;
use crate::protocol::{Bounds, Facts, Numbered, Outcome, Protocol};
use crate::random::Random;
use crate::websocket::{
    OPCODE_BINARY, OPCODE_CLOSE, OPCODE_PING, OPCODE_PONG, OPCODE_TEXT, Upgrade, header_bytes,
    mask, read_message, write_header,
};
use crate::workload::{KEY_BYTES, Values, write_key};

const PROTOCOL_VERSION: u16 = 1;
/// A close code of the node is this plus a Status.
const CLOSE_CODE_BASE: u16 = 4000;
/// struct Operation and struct OperationResult.
const ELEMENT_BYTES: usize = 32;
const HEADER_BYTES: usize = 40;
const DATA_OFFSET_AT: usize = 28;
const KIND_AT: usize = 32;
const VECTOR_LENGTH_AT: usize = 36;

/// The head of a hot frame; kind, data offset and vector length are zero. Requests have the vector
/// `operations`, replies `results`.
const fn header(operations: u8, results: u8) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[0] = 20;
    bytes[4] = b'R';
    bytes[5] = b'N';
    bytes[6] = b'D';
    bytes[7] = b'O';
    bytes[8] = 12;
    bytes[10] = 16;
    bytes[12] = 12;
    bytes[14] = operations;
    bytes[16] = results;
    bytes[18] = 8;
    bytes[20] = 12;
    bytes[24] = 12;
    bytes
}
const REQUEST_HEADER: [u8; HEADER_BYTES] = header(4, 0);
const REPLY_HEADER: [u8; HEADER_BYTES] = header(0, 4);

/// What is under way between the sides.
enum Stage {
    Upgrading(Upgrade),
    Greeting,
    Open,
}

pub struct Rondo<const ECHO: bool> {
    host: String,
    token: String,
    random: Random,
    stage: Stage,
    bounds: Bounds,
    facts: Option<Facts>,
}

impl<const ECHO: bool> Rondo<ECHO> {
    /// `random` draws masks and the upgrade's key.
    pub fn new(host: String, token: String, mut random: Random) -> Self {
        let upgrade = Upgrade::new(&mut random);
        Self {
            host,
            token,
            random,
            stage: Stage::Upgrading(upgrade),
            // An echo has no limits of its own: take those of a node with default settings.
            bounds: Bounds {
                batch_operations: 8192,
                batch_bytes: usize::MAX,
                outstanding: 65_536,
                value_bytes: usize::MAX,
            },
            facts: None,
        }
    }

    fn send(&mut self, opcode: u8, payload: &[u8], out: &mut Outbox) {
        let key = (self.random.next() as u32).to_ne_bytes();
        let room = out.room(header_bytes(payload.len()) + payload.len());
        let at = write_header(room, opcode, payload.len(), key);
        room[at..].copy_from_slice(payload);
        mask(&mut room[at..], key);
    }

    fn send_hello(&mut self, out: &mut Outbox) {
        let mut builder = FlatBufferBuilder::with_capacity(256);
        let token = builder.create_string(&self.token);
        let client = builder.create_string(concat!("rondo-load/", env!("CARGO_PKG_VERSION")));
        let hello = Hello::create(
            &mut builder,
            &HelloArgs {
                protocol: PROTOCOL_VERSION,
                token: Some(token),
                client: Some(client),
            },
        );
        let frame = Frame::create(
            &mut builder,
            &FrameArgs {
                kind: FrameKind::Hello,
                hello: Some(hello),
                ..FrameArgs::default()
            },
        );
        finish_frame_buffer(&mut builder, frame);
        let bytes = builder.finished_data().to_vec();
        self.send(OPCODE_BINARY, &bytes, out);
    }

    fn welcome(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let frame = frame_of(payload)?;
        let limits = frame.welcome().and_then(|welcome| welcome.limits());
        let (FrameKind::Welcome, Some(welcome), Some(limits)) =
            (frame.kind(), frame.welcome(), limits)
        else {
            return Err(Fault::protocol("its first frame is not a welcome"));
        };
        if welcome.protocol() != PROTOCOL_VERSION {
            return Err(Fault::protocol(format!(
                "it speaks version {}, and this generator {PROTOCOL_VERSION}",
                welcome.protocol()
            )));
        }
        self.bounds = Bounds {
            batch_operations: limits.operations_per_frame_max() as usize,
            batch_bytes: limits.frame_bytes_max() as usize,
            outstanding: limits.operations_outstanding_max() as usize,
            value_bytes: limits.value_bytes_max() as usize,
        };
        let text = |field: Option<&str>| field.unwrap_or_default().to_owned();
        self.facts = Some(Facts::Rondo {
            name: "rondo",
            version: text(welcome.version()),
            engine: text(welcome.engine()),
            engine_reason: text(welcome.engine_reason()),
            transport: text(welcome.transport()),
            durability: text(welcome.durability()),
            partitions: welcome.partitions(),
            keys: welcome.keys(),
            memory_bytes: welcome.memory_bytes(),
        });
        Ok(())
    }
}

impl<const ECHO: bool> Protocol for Rondo<ECHO> {
    const HAS_IDS: bool = true;
    const OPERATION_BYTES: usize = ELEMENT_BYTES + KEY_BYTES;

    fn greet(&mut self, out: &mut Outbox) {
        if let Stage::Upgrading(upgrade) = &self.stage {
            out.append(upgrade.request(&self.host).as_bytes());
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    fn bounds(&self) -> Bounds {
        self.bounds
    }

    fn facts(&self) -> Option<&Facts> {
        self.facts.as_ref()
    }

    #[inline]
    fn encode(&mut self, batch: &[Numbered], values: &Values, out: &mut Outbox) {
        let writes = batch
            .iter()
            .filter(|operation| !operation.draw.is_read)
            .count();
        let data_bytes = batch.len() * KEY_BYTES + writes * values.bytes;
        let data_length_at = HEADER_BYTES + batch.len() * ELEMENT_BYTES;
        let payload = data_length_at + 4 + data_bytes;
        let key = (self.random.next() as u32).to_ne_bytes();
        let room = out.room(header_bytes(payload) + payload);
        let at = write_header(room, OPCODE_BINARY, payload, key);
        let frame = &mut room[at..];

        let (head, rest) = frame.split_at_mut(HEADER_BYTES);
        head.copy_from_slice(&REQUEST_HEADER);
        head[DATA_OFFSET_AT..DATA_OFFSET_AT + 4]
            .copy_from_slice(&((data_length_at - DATA_OFFSET_AT) as u32).to_le_bytes());
        head[KIND_AT] = FrameKind::Request.0;
        head[VECTOR_LENGTH_AT..].copy_from_slice(&(batch.len() as u32).to_le_bytes());
        let (elements, data) = rest.split_at_mut(batch.len() * ELEMENT_BYTES);
        let (data_length, mut data) = data.split_at_mut(4);
        data_length.copy_from_slice(&(data_bytes as u32).to_le_bytes());

        let (elements, _) = elements.as_chunks_mut::<ELEMENT_BYTES>();
        for (element, operation) in elements.iter_mut().zip(batch) {
            let (code, value_bytes) = if operation.draw.is_read {
                (OperationCode::Get, 0)
            } else {
                (OperationCode::Put, values.bytes)
            };
            let word = u64::from(operation.id) | u64::from(code.0) << 32 | (KEY_BYTES as u64) << 48;
            *element = [0; ELEMENT_BYTES];
            element[..8].copy_from_slice(&word.to_le_bytes());
            element[8..12].copy_from_slice(&(value_bytes as u32).to_le_bytes());

            let (key, rest) = data.split_at_mut(KEY_BYTES);
            if let Some(key) = key.first_chunk_mut() {
                write_key(operation.draw.key, key);
            }
            let (value, rest) = rest.split_at_mut(value_bytes);
            if !operation.draw.is_read {
                values.write(operation.draw.key, value);
            }
            data = rest;
        }
        mask(frame, key);
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        out: &mut Outbox,
        answer: &mut impl FnMut(u32, Outcome<'_>) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        let mut used = 0;
        if let Stage::Upgrading(upgrade) = &self.stage {
            let Some(length) = upgrade.check(bytes)? else {
                return Ok(0);
            };
            used = length;
            if ECHO {
                self.stage = Stage::Open;
                self.facts = Some(Facts::Echo { name: "echo" });
            } else {
                self.stage = Stage::Greeting;
                self.send_hello(out);
            }
        }
        while let Some(message) = read_message(&bytes[used..])? {
            match message.opcode {
                OPCODE_BINARY if matches!(self.stage, Stage::Open) => {
                    if ECHO {
                        read_echo(message.payload, answer)?;
                    } else {
                        read_reply(message.payload, answer)?;
                    }
                }
                OPCODE_BINARY => {
                    self.welcome(message.payload)?;
                    self.stage = Stage::Open;
                }
                OPCODE_PING => {
                    let payload = message.payload.to_vec();
                    self.send(OPCODE_PONG, &payload, out);
                }
                OPCODE_PONG => {}
                OPCODE_CLOSE => return Err(close_of(message.payload)),
                OPCODE_TEXT => {
                    let text = excerpt(message.payload);
                    return Err(Fault::protocol(format!("it sent a text message: {text}")));
                }
                opcode => return Err(Fault::protocol(format!("opcode {opcode} is unknown"))),
            }
            used += message.length;
        }
        Ok(used)
    }
}

fn close_of(payload: &[u8]) -> Fault {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return Fault::Closed {
            code: 1005,
            name: String::new(),
            reason: "no code was given".into(),
        };
    };
    let code = u16::from_be_bytes(*code);
    let status = code
        .checked_sub(CLOSE_CODE_BASE)
        .and_then(|code| u8::try_from(code).ok());
    let name = status.and_then(|status| Status(status).variant_name());
    Fault::Closed {
        code,
        name: name.map(|name| format!(" ({name})")).unwrap_or_default(),
        reason: if reason.is_empty() {
            "no reason was given".into()
        } else {
            String::from_utf8_lossy(reason).into_owned()
        },
    }
}

fn frame_of(payload: &[u8]) -> Result<Frame<'_>, Fault> {
    let broken = |why: String| Fault::protocol(format!("a frame is broken: {why}"));
    if payload.len() < 8 || !frame_buffer_has_identifier(payload) {
        return Err(broken(format!(
            "it has no identifier: {}",
            excerpt(payload)
        )));
    }
    flatbuffers::root_with_opts::<Frame>(&VerifierOptions::default(), payload)
        .map_err(|error| broken(error.to_string()))
}

/// The columns of a hot frame: its structs, and keys and values.
type Columns<'a> = (&'a [[u8; ELEMENT_BYTES]], &'a [u8]);

/// The columns of a frame that is laid out in the usual way.
#[inline]
fn usual_columns<'a>(
    payload: &'a [u8],
    header: &[u8; HEADER_BYTES],
    kind: FrameKind,
) -> Option<Columns<'a>> {
    let (head, rest) = payload.split_first_chunk::<HEADER_BYTES>()?;
    let is_usual = head[..DATA_OFFSET_AT] == header[..DATA_OFFSET_AT]
        && head[KIND_AT..VECTOR_LENGTH_AT] == [kind.0, 0, 0, 0];
    let count = read_u32(head, VECTOR_LENGTH_AT) as usize;
    let elements_bytes = count.checked_mul(ELEMENT_BYTES)?;
    let (elements, data) = rest.split_at_checked(elements_bytes)?;
    let (data_length, data) = data.split_first_chunk::<4>()?;
    let data_at = HEADER_BYTES + elements_bytes - DATA_OFFSET_AT;
    let fits = read_u32(head, DATA_OFFSET_AT) as usize == data_at
        && u32::from_le_bytes(*data_length) as usize == data.len();
    (is_usual && fits).then_some((elements.as_chunks().0, data))
}

#[inline]
fn read_u32(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[inline]
fn read_reply(
    payload: &[u8],
    answer: &mut impl FnMut(u32, Outcome<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let (results, mut data) = match usual_columns(payload, &REPLY_HEADER, FrameKind::Reply) {
        Some(columns) => columns,
        None => {
            let frame = frame_of(payload)?;
            let (FrameKind::Reply, Some(results), Some(data)) =
                (frame.kind(), frame.results(), frame.data())
            else {
                return Err(Fault::protocol("a frame is not a reply"));
            };
            (results.bytes().as_chunks().0, data.bytes())
        }
    };
    for result in results {
        let head = Element::of(result);
        let length = head.key_bytes + head.value_bytes;
        let Some((bytes, rest)) = data.split_at_checked(length) else {
            return Err(Fault::protocol("the lengths of a reply exceed its data"));
        };
        data = rest;
        let revision = &result[16..24];
        let outcome = match Status(head.code) {
            // Neither a get nor a put answers with a key or flags, and each knows a revision.
            Status::Ok if head.key_bytes > 0 || head.flags != 0 || revision == [0; 8] => {
                Outcome::Error(format!("a result of another kind: {}", excerpt(result)))
            }
            Status::Ok if bytes.is_empty() => Outcome::Done,
            Status::Ok => Outcome::Value(bytes),
            Status::NotFound => Outcome::Missing,
            status => {
                let name = status.variant_name().unwrap_or("unknown status");
                Outcome::Error(format!("{name} ({})", status.0))
            }
        };
        answer(head.id, outcome)?;
    }
    if data.is_empty() {
        Ok(())
    } else {
        Err(Fault::protocol(
            "a reply has more data than its results say",
        ))
    }
}

#[inline]
fn read_echo(
    payload: &[u8],
    answer: &mut impl FnMut(u32, Outcome<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let columns = usual_columns(payload, &REQUEST_HEADER, FrameKind::Request);
    let Some((operations, mut data)) = columns else {
        let text = excerpt(payload);
        return Err(Fault::protocol(format!(
            "it did not echo a request: {text}"
        )));
    };
    for operation in operations {
        let head = Element::of(operation);
        let Some((key, rest)) = data.split_at_checked(head.key_bytes) else {
            return Err(Fault::protocol("an echo is shorter than its request"));
        };
        let Some((value, rest)) = rest.split_at_checked(head.value_bytes) else {
            return Err(Fault::protocol("an echo is shorter than its request"));
        };
        data = rest;
        let is_read = head.code == OperationCode::Get.0;
        answer(
            head.id,
            Outcome::Echo {
                is_read,
                key,
                value,
            },
        )?;
    }
    Ok(())
}

/// What operation and result have at the same places; `code` is a result's status.
struct Element {
    id: u32,
    code: u8,
    flags: u8,
    key_bytes: usize,
    value_bytes: usize,
}

impl Element {
    #[inline]
    fn of(bytes: &[u8; ELEMENT_BYTES]) -> Self {
        let [a, b, c, d, code, flags, e, f, g, h, i, j, ..] = *bytes;
        Self {
            id: u32::from_le_bytes([a, b, c, d]),
            code,
            flags,
            key_bytes: usize::from(u16::from_le_bytes([e, f])),
            value_bytes: u32::from_le_bytes([g, h, i, j]) as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generated::{OperationResult, Welcome, WelcomeArgs};
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

    fn answers<const ECHO: bool>(
        rondo: &mut Rondo<ECHO>,
        bytes: &[u8],
    ) -> Result<Vec<String>, Fault> {
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
        let workload = Workload::new(1000, 0.5, None, 20);
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
        let workload = Workload::new(1000, 0.5, None, 3);
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
}
