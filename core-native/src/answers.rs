//! The answers that a session remembers: of operations with the flag `once` that made a record, so that
//! one that is repeated after a lost connection is answered again and not done again.

use std::collections::{HashMap, VecDeque};

use crate::limits::ANSWERS_REMEMBERED_MAX;

/// An answer of status Ok; others made no record and are not remembered.
#[derive(Clone)]
pub struct Answer {
    pub revision: u64,
    pub count: u32,
    pub ttl_ms: u64,
    pub value: Box<[u8]>,
    /// What the call appended that gave it.
    pub append: u64,
}

#[derive(Default)]
pub struct Answers {
    by_id: HashMap<u32, Answer>,
    /// Oldest first.
    ids: VecDeque<u32>,
}

impl Answers {
    pub fn get(&self, id: u32) -> Option<&Answer> {
        self.by_id.get(&id)
    }

    /// Remembers the answer to an id that it has none to.
    pub fn remember(&mut self, id: u32, answer: Answer) {
        if self.ids.len() == ANSWERS_REMEMBERED_MAX
            && let Some(oldest) = self.ids.pop_front()
        {
            self.by_id.remove(&oldest);
        }
        self.ids.push_back(id);
        self.by_id.insert(id, answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut answers = Answers::default();
        for id in 0..=ANSWERS_REMEMBERED_MAX as u32 {
            let answer = Answer {
                revision: u64::from(id),
                count: 0,
                ttl_ms: 0,
                value: Box::default(),
                append: 1,
            };
            answers.remember(id, answer);
        }
        assert!(answers.get(0).is_none());
        assert_eq!(answers.get(1).map(|answer| answer.revision), Some(1));
    }
}
