//! Whether an answer is the right one to its operation.

use crate::fault::{Fault, excerpt};
use crate::flight::Flown;
use crate::plan::Plan;
use crate::protocol::Outcome;
use crate::workload::{Draw, KEY_BYTES, Values, key_name, write_key};

/// Whether the operation was done; false where its key is absent and may be so.
#[inline]
pub fn check(
    plan: &Plan,
    flown: Flown,
    outcome: Outcome<'_>,
    is_reading_back: bool,
) -> Result<bool, Fault> {
    let Draw { key, is_read } = flown.draw;
    let values = &plan.workload.values;
    let is_value = |value: &[u8]| !plan.verify || values.matches(key, value);
    match outcome {
        outcome if is_reading_back => match outcome {
            Outcome::Value(value) if values.matches_exactly(key, value) => Ok(true),
            outcome => Err(Fault::Lost {
                key: key_name(key),
                found: found(values, key, outcome),
            }),
        },
        Outcome::Value(value) if is_read && is_value(value) => Ok(true),
        Outcome::Done if !is_read => Ok(true),
        Outcome::Missing if is_read && plan.allow_missing => Ok(false),
        Outcome::Echo {
            is_read: was_read,
            key: name,
            value,
        } if was_read == is_read
            && name == key_name_bytes(key)
            && (if is_read {
                value.is_empty()
            } else {
                is_value(value)
            }) =>
        {
            Ok(true)
        }
        outcome => Err(wrong(plan, flown, outcome)),
    }
}

#[inline]
fn key_name_bytes(key: u32) -> [u8; KEY_BYTES] {
    let mut name = [0; KEY_BYTES];
    write_key(key, &mut name);
    name
}

/// What was found in place of what the run wrote.
#[cold]
fn found(values: &Values, key: u32, outcome: Outcome<'_>) -> String {
    match outcome {
        Outcome::Value(value) if values.matches(key, value) => "an older value".into(),
        Outcome::Value(value) => format!("another value: {}", excerpt(value)),
        Outcome::Missing => "no such key".into(),
        outcome => format!("{outcome:?}"),
    }
}

#[cold]
fn wrong(plan: &Plan, flown: Flown, outcome: Outcome<'_>) -> Fault {
    let verb = if flown.draw.is_read { "get" } else { "put" };
    let what = format!("{verb} {}", key_name(flown.draw.key));
    match outcome {
        Outcome::Error(error) => Fault::Refused { what, error },
        Outcome::Missing if flown.draw.is_read => Fault::WrongAnswer(format!(
            "{what}: there is no such key; run with --prefill, or with --allow-missing"
        )),
        Outcome::Value(value) if flown.draw.is_read => {
            let expected = plan.workload.values.bytes;
            let hint = if value.len() == expected {
                String::new()
            } else {
                format!("; {expected} were expected: was it written with another --value-bytes?")
            };
            Fault::WrongAnswer(format!("{what}: another value: {}{hint}", excerpt(value)))
        }
        Outcome::Echo { key, value, .. } => Fault::WrongAnswer(format!(
            "{what}: echoed with key {} and value {}",
            excerpt(key),
            excerpt(value)
        )),
        outcome => Fault::WrongAnswer(format!("{what}: {outcome:?}")),
    }
}
