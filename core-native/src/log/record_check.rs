//! The check of an append: whole, valid records whose revisions go on from those that the log has. The
//! twin of `node/log/record-check.ts`.

use crate::records::read_record;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// How many there are; above 0.
    pub records: u32,
    /// Of the last one. Milliseconds since 1970.
    pub time: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Malformed,
    Revision,
}

/// Checks records and moves `revisions`, which has one for each partition, on to theirs. After a fault
/// they are what they were.
pub fn take_records(bytes: &[u8], revisions: &mut [f64]) -> Result<Checked, Fault> {
    let mut rest = bytes;
    let mut checked = Checked {
        records: 0,
        time: 0,
    };
    let fault = loop {
        let Some((record, after)) = read_record(rest) else {
            break Fault::Malformed;
        };
        let Some(revision) = revisions.get_mut(record.partition) else {
            break Fault::Malformed;
        };
        if record.revision as f64 != *revision + 1.0 {
            break Fault::Revision;
        }
        *revision += 1.0;
        checked.records += 1;
        checked.time = record.time;
        if after.is_empty() {
            return Ok(checked);
        }
        rest = after;
    };
    // Each record that was taken moved its partition on by exactly 1.
    let mut taken = bytes;
    for _ in 0..checked.records {
        let Some((record, after)) = read_record(taken) else {
            break;
        };
        if let Some(revision) = revisions.get_mut(record.partition) {
            *revision -= 1.0;
        }
        taken = after;
    }
    Err(fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{Record, RecordKind, RecordWriter};

    fn records(of: &[(usize, u64)]) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        let mut writer = RecordWriter::new(&mut bytes);
        for &(partition, revision) in of {
            writer.append(Record {
                kind: RecordKind::Put,
                flags: 0,
                back: 0,
                partition,
                revision,
                time: 90 + revision,
                expires_at: 0,
                key: b"key",
                value: b"value",
            });
        }
        let length = writer.length();
        bytes.truncate(length);
        bytes
    }

    #[test]
    fn takes_what_goes_on() {
        let mut revisions = [4.0, 0.0];
        let bytes = records(&[(0, 5), (1, 1), (0, 6)]);
        let checked = take_records(&bytes, &mut revisions);
        assert_eq!(
            checked,
            Ok(Checked {
                records: 3,
                time: 96
            })
        );
        assert_eq!(revisions, [6.0, 1.0]);
    }

    #[test]
    fn leaves_the_revisions_after_a_fault() {
        let whole = records(&[(0, 5), (1, 1)]);
        let cases = [
            (records(&[(0, 5), (1, 1), (0, 7)]), Fault::Revision),
            (records(&[(1, 1), (1, 1)]), Fault::Revision),
            (records(&[(0, 5), (2, 1)]), Fault::Malformed),
            (whole[..whole.len() - 8].to_vec(), Fault::Malformed),
            (Vec::new(), Fault::Malformed),
        ];
        for (bytes, fault) in cases {
            let mut revisions = [4.0, 0.0];
            assert_eq!(take_records(&bytes, &mut revisions), Err(fault));
            assert_eq!(revisions, [4.0, 0.0]);
        }
    }
}
