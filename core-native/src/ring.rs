//! The ring: which member has which partition. `ts/engine/ring.ts` is the contract and has the checks; both
//! halves give the same owners.

use xxhash_rust::xxh32::xxh32;

use crate::partition::partition_of_key;

pub const VIRTUAL_NODES_PER_WEIGHT: u32 = 64;

/// A member that was checked, in byte order of the names among all.
pub struct Member<'a> {
    pub name: &'a [u8],
    pub weight: u32,
    /// Partitions that it can have at most.
    pub capacity: u32,
}

/// The member of each partition. There is at least one, at most 2^16, and together they have room for all
/// partitions, a power of two of at most 2^16.
pub fn place(members: &[Member], partitions: usize) -> Vec<u16> {
    let points = virtual_nodes(members);
    let count = points.len();
    let mut room: Vec<u32> = members.iter().map(|member| member.capacity).collect();
    // From a virtual node to the next one that may have room: between them all are full, and stay so.
    let mut onward: Vec<usize> = (1..=count).map(|next| next % count).collect();
    let mut first = 0;
    (0..partitions as u64)
        .map(|partition| {
            let position = (partition << 32) / partitions as u64;
            while first < count && points[first] >> 32 < position {
                first += 1;
            }
            let mut at = first % count;
            while room[member_of(points[at])] == 0 {
                let next = onward[at];
                if room[member_of(points[next])] == 0 {
                    onward[at] = onward[next];
                }
                at = next;
            }
            let member = member_of(points[at]);
            room[member] -= 1;
            member as u16
        })
        .collect()
}

/// The member of each of many keys: key `i` is `keys[ends[i - 1]..ends[i]]`. None where an end lies outside or
/// before the one before it.
pub fn lookup_many(owners: &[u16], keys: &[u8], ends: &[u32], into: &mut [u16]) -> Option<()> {
    let mut start = 0;
    for (&end, member) in ends.iter().zip(into) {
        let key = keys.get(start..end as usize)?;
        *member = owners[partition_of_key(key, owners.len())];
        start = end as usize;
    }
    Some(())
}

/// All virtual nodes as position and member in one number, in order of position, then member.
fn virtual_nodes(members: &[Member]) -> Vec<u64> {
    let mut points = Vec::new();
    let mut text = Vec::new();
    for (index, member) in members.iter().enumerate() {
        for number in 0..member.weight * VIRTUAL_NODES_PER_WEIGHT {
            text.clear();
            text.extend_from_slice(member.name);
            text.push(b'#');
            write_decimal(&mut text, number);
            points.push(u64::from(xxh32(&text, 0)) << 32 | index as u64);
        }
    }
    points.sort_unstable();
    points
}

fn member_of(point: u64) -> usize {
    point as u32 as usize
}

fn write_decimal(text: &mut Vec<u8>, number: u32) {
    let at = text.len();
    let mut rest = number;
    loop {
        text.push(b'0' + (rest % 10) as u8);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    text[at..].reverse();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_members_pass_partitions_on() {
        let names: Vec<String> = (0..4).map(|index| format!("n{index}")).collect();
        let members: Vec<Member> = names
            .iter()
            .map(|name| Member {
                name: name.as_bytes(),
                weight: 1,
                capacity: 4,
            })
            .collect();
        let owners = place(&members, 16);
        for member in 0..4 {
            assert_eq!(owners.iter().filter(|&&owner| owner == member).count(), 4);
        }
    }

    #[test]
    fn ends_outside_the_keys_are_refused() {
        let mut into = [0; 2];
        assert!(lookup_many(&[0], b"ab", &[1, 2], &mut into).is_some());
        assert!(lookup_many(&[0], b"ab", &[1, 3], &mut into).is_none());
        assert!(lookup_many(&[0], b"ab", &[2, 1], &mut into).is_none());
    }
}
