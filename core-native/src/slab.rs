//! Things of one kind in one vector, told by their place, and doubly linked lists through them. A place
//! that was given back is used again, so a pair of taking and giving back allocates nothing. No place is 0, as
//! no handle of an entry is: under a hash of 0 a table would take that for an empty cell.

use std::ops::{Index, IndexMut};

/// No place.
pub const NONE: u32 = u32::MAX;

pub struct Slab<T> {
    items: Vec<T>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slab<T> {
    /// Puts an item into a place that is free.
    pub fn add(&mut self, item: T) -> u32 {
        if let Some(place) = self.free.pop() {
            self[place] = item;
            place
        } else {
            self.items.push(item);
            self.items.len() as u32
        }
    }

    /// Gives a place back. What stood there stays readable until the place is used again.
    pub fn free(&mut self, place: u32) {
        self.free.push(place);
    }

    /// Items held.
    pub fn count(&self) -> usize {
        self.items.len() - self.free.len()
    }

    /// All places, those that are free included.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    #[inline]
    fn index(&self, place: u32) -> &T {
        &self.items[place as usize - 1]
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    #[inline]
    fn index_mut(&mut self, place: u32) -> &mut T {
        &mut self.items[place as usize - 1]
    }
}

/// A list of items of one slab.
#[derive(Clone, Copy, Debug)]
pub struct List {
    pub first: u32,
    pub last: u32,
    pub count: u32,
}

/// An item's neighbours in a list.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    pub before: u32,
    pub next: u32,
}

impl Default for List {
    fn default() -> Self {
        Self {
            first: NONE,
            last: NONE,
            count: 0,
        }
    }
}

impl Default for Link {
    fn default() -> Self {
        Self {
            before: NONE,
            next: NONE,
        }
    }
}

impl List {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.first == NONE
    }

    /// Puts an item behind all others. `link` names the item's link in this list.
    pub fn push_back<T>(
        &mut self,
        slab: &mut Slab<T>,
        place: u32,
        link: impl Fn(&mut T) -> &mut Link,
    ) {
        *link(&mut slab[place]) = Link {
            before: self.last,
            next: NONE,
        };
        if self.last == NONE {
            self.first = place;
        } else {
            link(&mut slab[self.last]).next = place;
        }
        self.last = place;
        self.count += 1;
    }

    /// Puts an item in front of all others.
    pub fn push_front<T>(
        &mut self,
        slab: &mut Slab<T>,
        place: u32,
        link: impl Fn(&mut T) -> &mut Link,
    ) {
        *link(&mut slab[place]) = Link {
            before: NONE,
            next: self.first,
        };
        if self.first == NONE {
            self.last = place;
        } else {
            link(&mut slab[self.first]).before = place;
        }
        self.first = place;
        self.count += 1;
    }

    /// Takes out an item that is in.
    pub fn remove<T>(
        &mut self,
        slab: &mut Slab<T>,
        place: u32,
        link: impl Fn(&mut T) -> &mut Link,
    ) {
        let Link { before, next } = std::mem::take(link(&mut slab[place]));
        if before == NONE {
            self.first = next;
        } else {
            link(&mut slab[before]).next = next;
        }
        if next == NONE {
            self.last = before;
        } else {
            link(&mut slab[next]).before = before;
        }
        self.count -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Table;

    #[test]
    fn every_place_can_be_found_under_every_hash() {
        let mut slab = Slab::default();
        for item in 0..3 {
            let place = slab.add(item);
            let mut table = Table::default();
            table.insert(0, place);
            assert_eq!(table.find(0, |found| slab[found] == item), Some(place));
        }
    }
}
