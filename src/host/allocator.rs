//! The module's allocator: small blocks that were freed are kept by size and handed out again, in front of the allocator
//! that the target brings. A request allocates and frees about the same blocks as the one before, and that allocator's
//! search and merging took a fifth of what a request costs in the module (V8's profile of `benches/profile.mjs`).
//!
//! What is kept is bounded: at most [`KEPT`] blocks of each of [`CLASSES`] sizes, about a megabyte in all, whatever a
//! request made the module allocate; everything beyond goes back at once.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ptr::null_mut;

/// Sizes in bytes, each at most half as large again as the one before, so that little is wasted.
const SIZES: [usize; CLASSES] = [16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024];

/// How many sizes are kept.
pub const CLASSES: usize = 12;

/// Free blocks kept of each size.
pub const KEPT: u16 = 256;

/// Steps of sixteen bytes up to the largest size.
const STEPS: usize = 1024 / STEP + 1;
const STEP: usize = 16;

/// The class of a size, by its length in steps.
const CLASS_OF: [u8; STEPS] = classes();

/// Blocks are aligned as the sizes are multiples of this; stricter layouts are passed on.
const ALIGNMENT: usize = 8;

/// The allocator, before `B`. For one thread: the module has no other.
pub struct KeptBlocks<B> {
    before: B,
    free: [Cell<*mut u8>; CLASSES],
    kept: [Cell<u16>; CLASSES],
}

// A wasm instance runs one thread; the tests have one each.
unsafe impl<B> Sync for KeptBlocks<B> {}

impl<B> KeptBlocks<B> {
    /// Keeps nothing yet.
    pub const fn new(before: B) -> Self {
        Self { before, free: [const { Cell::new(null_mut()) }; CLASSES], kept: [const { Cell::new(0) }; CLASSES] }
    }

    #[inline]
    fn take(&self, class: usize) -> Option<*mut u8> {
        let head = self.free.get(class)?;
        let block = head.get();
        if block.is_null() {
            return None;
        }
        // A kept block begins with the address of the next.
        head.set(unsafe { block.cast::<*mut u8>().read_unaligned() });
        let kept = self.kept.get(class)?;
        kept.set(kept.get().wrapping_sub(1));
        Some(block)
    }

    /// Whether the block is kept.
    #[inline]
    fn keep(&self, class: usize, block: *mut u8) -> bool {
        let (Some(head), Some(kept)) = (self.free.get(class), self.kept.get(class)) else { return false };
        if kept.get() >= KEPT {
            return false;
        }
        unsafe { block.cast::<*mut u8>().write_unaligned(head.get()) };
        head.set(block);
        kept.set(kept.get() + 1);
        true
    }
}

/// The class that a layout's blocks come from; `None`: it is passed on as it is.
#[inline]
fn class_of(layout: Layout) -> Option<usize> {
    if layout.align() > ALIGNMENT {
        return None;
    }
    CLASS_OF.get(layout.size().div_ceil(STEP)).map(|class| usize::from(*class))
}

/// What blocks of a class are asked for as.
#[inline]
fn layout_of(class: usize, layout: Layout) -> Layout {
    let size = SIZES.get(class).copied().unwrap_or(layout.size());
    Layout::from_size_align(size, ALIGNMENT).unwrap_or(layout)
}

/// Every block of a class has its whole size, wherever it came from, so each may serve any layout of that class.
/// None of it is inlined: there are thousands of callers, and with it in each of them the module grew by a tenth.
unsafe impl<B: GlobalAlloc> GlobalAlloc for KeptBlocks<B> {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = class_of(layout) else { return unsafe { self.before.alloc(layout) } };
        match self.take(class) {
            Some(block) => block,
            None => unsafe { self.before.alloc(layout_of(class, layout)) },
        }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match class_of(layout) {
            Some(class) if self.keep(class, block) => {}
            Some(class) => unsafe { self.before.dealloc(block, layout_of(class, layout)) },
            None => unsafe { self.before.dealloc(block, layout) },
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Ok(wanted) = Layout::from_size_align(size, layout.align()) else { return null_mut() };
        match (class_of(layout), class_of(wanted)) {
            (Some(from), Some(to)) if from == to => block,
            (None, None) => unsafe { self.before.realloc(block, layout, size) },
            _ => unsafe { self.moved(block, layout, wanted) },
        }
    }
}

impl<B: GlobalAlloc> KeptBlocks<B> {
    /// # Safety
    /// As for [`GlobalAlloc::realloc`].
    unsafe fn moved(&self, block: *mut u8, from: Layout, to: Layout) -> *mut u8 {
        let new = unsafe { self.alloc(to) };
        if !new.is_null() {
            unsafe {
                std::ptr::copy_nonoverlapping(block, new, from.size().min(to.size()));
                self.dealloc(block, from);
            }
        }
        new
    }
}

const fn classes() -> [u8; STEPS] {
    let mut table = [0; STEPS];
    let mut class = 0;
    let mut step = 0;
    #[allow(clippy::indexing_slicing, reason = "evaluated by the compiler, where a bad index is an error")]
    while step < STEPS {
        if SIZES[class as usize] < step * STEP {
            class += 1;
        }
        table[step] = class;
        step += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::alloc::System;

    /// Counts what is passed on.
    #[derive(Default)]
    struct Counting {
        held: Cell<isize>,
        asked: Cell<usize>,
    }

    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            self.held.set(self.held.get() + layout.size() as isize);
            self.asked.set(self.asked.get() + 1);
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            self.held.set(self.held.get() - layout.size() as isize);
            unsafe { System.dealloc(block, layout) }
        }
    }

    fn bytes(size: usize) -> Layout {
        Layout::from_size_align(size, 1).unwrap()
    }

    #[test]
    fn a_class_is_never_smaller_than_what_it_serves_nor_half_as_large_again() {
        for size in 1..=1024 {
            let class = class_of(bytes(size)).unwrap();
            let holds = SIZES[class];
            assert!(holds >= size && (class == 0 || SIZES[class - 1] < size), "{size} in {holds}");
        }
        assert_eq!(class_of(bytes(1025)), None);
        assert_eq!(class_of(Layout::from_size_align(16, 16).unwrap()), None, "stricter than what is kept");
    }

    #[test]
    fn the_same_blocks_serve_again_and_again() {
        let blocks = KeptBlocks::new(Counting::default());
        for _ in 0..1000 {
            let held: Vec<_> = (1..=64).map(|n| (unsafe { blocks.alloc(bytes(n * 16)) }, n * 16)).collect();
            held.into_iter().for_each(|(block, size)| unsafe { blocks.dealloc(block, bytes(size)) });
        }
        assert_eq!(blocks.before.asked.get(), 64);
    }

    #[test]
    fn what_is_kept_is_bounded_whatever_was_allocated() {
        let blocks = KeptBlocks::new(Counting::default());
        for size in SIZES {
            let held: Vec<_> = (0..10_000).map(|_| unsafe { blocks.alloc(bytes(size)) }).collect();
            held.into_iter().for_each(|block| unsafe { blocks.dealloc(block, bytes(size)) });
        }
        let most: usize = SIZES.iter().map(|size| size * usize::from(KEPT)).sum();
        assert_eq!(blocks.before.held.get(), most as isize);
        assert!(most < 1 << 20, "{most}");
    }

    proptest! {
        #[test]
        fn every_block_keeps_its_bytes_until_it_is_freed(steps in prop::collection::vec((0usize..4, 1usize..1500, any::<u8>()), 1..200)) {
            let blocks = KeptBlocks::new(Counting::default());
            let mut held: Vec<(*mut u8, usize, u8)> = Vec::new();
            for (kind, size, mark) in steps {
                match (kind, held.len()) {
                    (0, 1..) => {
                        let (block, length, _) = held.swap_remove(size % held.len());
                        unsafe { blocks.dealloc(block, bytes(length)) };
                    }
                    (1, count @ 1..) => {
                        let (block, length, mark) = &mut held[size % count];
                        *block = unsafe { blocks.realloc(*block, bytes(*length), size) };
                        if size > *length {
                            unsafe { block.add(*length).write_bytes(*mark, size - *length) };
                        }
                        *length = size;
                    }
                    _ => {
                        let block = unsafe { blocks.alloc(bytes(size)) };
                        unsafe { block.write_bytes(mark, size) };
                        held.push((block, size, mark));
                    }
                }
                for (block, length, mark) in &held {
                    let content = unsafe { std::slice::from_raw_parts(*block, *length) };
                    prop_assert!(content.iter().all(|byte| byte == mark));
                }
            }
            held.into_iter().for_each(|(block, size, _)| unsafe { blocks.dealloc(block, bytes(size)) });
        }
    }
}
