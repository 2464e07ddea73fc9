//! Room for the bodies that wait in the module instead of at the host: the VM has less memory than the host, and when it is
//! used up, every stream of the worker ends.

use std::cell::Cell;
use std::thread::LocalKey;

/// How many bytes may wait in a VM, of requests and of responses each.
const BYTES: usize = 64 << 20;

thread_local! {
    static REQUESTS: Cell<usize> = const { Cell::new(0) };
    static RESPONSES: Cell<usize> = const { Cell::new(0) };
}

/// What one body takes of the room, until it is dropped.
#[derive(Debug)]
pub struct Room {
    used: &'static LocalKey<Cell<usize>>,
    own: usize,
}

impl Room {
    /// None yet of the room for requests.
    pub const fn of_requests() -> Self {
        Self { used: &REQUESTS, own: 0 }
    }

    /// None yet of the room for responses.
    pub const fn of_responses() -> Self {
        Self { used: &RESPONSES, own: 0 }
    }

    /// Takes room for `bytes` more. False: there is none.
    pub fn take(&mut self, bytes: usize) -> bool {
        let used = self.used.get().saturating_add(bytes);
        if used > BYTES {
            return false;
        }
        self.used.set(used);
        self.own = self.own.saturating_add(bytes);
        true
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.used.set(self.used.get().saturating_sub(self.own));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_gone_leaves_its_room_to_others() {
        let mut first = Room::of_requests();
        assert!(first.take(BYTES - 10) && first.take(10) && !first.take(1));
        let mut second = Room::of_requests();
        assert!(second.take(0) && !second.take(1) && !second.take(usize::MAX));
        drop(first);
        assert!(second.take(BYTES) && !second.take(1));
    }

    #[test]
    fn requests_leave_responses_their_room() {
        let mut request = Room::of_requests();
        assert!(request.take(BYTES));
        assert!(Room::of_responses().take(BYTES) && Room::of_responses().take(BYTES));
    }
}
